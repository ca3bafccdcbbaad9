//! One latent: what it is, where it fires, what it writes, and what a prompt does to it.

mod beside;
mod examples;
mod head;
mod lens;
mod tryout;

use std::sync::Arc;

use api::LatentDetail;
use leptos::prelude::*;

use crate::{
    explorer::explorer,
    nav::{History, latent_path, latents_path, use_goto, use_segment, use_title, use_url_state},
    net::{
        load::{Load, use_load},
        request::Request,
    },
    parts::{
        keys::use_keys,
        provenance::provenance,
        states::{fault_note, skeleton},
    },
    state::{
        UrlState,
        edit::LaneForm,
        lab::{Colour, LabState, PromptForm},
        latent::LatentState,
    },
};

/// What the parts of this page share.
#[derive(Clone, Copy)]
struct Page {
    slug: Memo<String>,
    id: Memo<Option<u32>>,
    state: Memo<LatentState>,
    change: Callback<(LatentState, History)>,
    detail: Load<LatentDetail>,
}

impl Page {
    /// The lab with this latent as colour and in the steered lane.
    fn lab(self) -> String {
        let id = self.id.get();
        let state = self.state.get();
        let prompt = match state.prompt {
            Some(text) if state.raw => PromptForm::Raw(text),
            Some(text) => PromptForm::user(&text),
            None => {
                let study = explorer().study.get();
                PromptForm::user(
                    study
                        .and_then(|s| s.prompts.first().cloned())
                        .as_deref()
                        .unwrap_or(""),
                )
            }
        };
        let lab = LabState {
            dictionary: Some(self.slug.get()),
            prompt,
            colour: id.map_or(Colour::Kl, Colour::Latent),
            steered: LaneForm::adding(id.into_iter().collect(), 1.0),
            ..LabState::default()
        };
        lab.href("/lab")
    }
}

/// `/d/{dictionary}/l/{id}`.
#[component]
pub(crate) fn Latent() -> impl IntoView {
    let explorer = explorer();
    let slug = use_segment("dictionary");
    let segment = use_segment("id");
    let id = Memo::new(move |_| segment.with(|text| text.parse().ok()));
    let (state, set) = use_url_state::<LatentState>();
    let detail =
        use_load::<LatentDetail>(move || id.get().map(|id| Request::latent(&slug.get(), id)));
    let change = Callback::new(move |(next, history)| set(next, history));
    let page = Page {
        slug,
        id,
        state,
        change,
        detail,
    };
    use_title(move || {
        let label = detail
            .data
            .with(|d| d.as_ref().and_then(|d| d.row.label.clone()));
        let name = format!("Latent {}", segment.get());
        label.map_or(name.clone(), |label| format!("{name}, {label}"))
    });
    let goto = use_goto();
    use_keys(move |key, _| match key {
        "j" | "k" => {
            let Some(id) = id.get_untracked() else { return };
            let all = explorer
                .dictionary(Some(&slug.get_untracked()))
                .map_or(u32::MAX as usize, |d| d.latents);
            let to = if key == "j" {
                id.checked_add(1).filter(|id| (*id as usize) < all)
            } else {
                id.checked_sub(1)
            };
            if let Some(to) = to {
                goto(&latent_path(&slug.get_untracked(), to));
            }
        }
        "s" => goto(&page.lab()),
        _ => {}
    });
    let top = move || {
        let study = explorer.study.get()?;
        let dictionary = explorer.dictionary(Some(&slug.get()))?;
        Some(provenance(&study, &dictionary))
    };
    // Examples and the test box live as long as the page; only what they show changes with the latent.
    let known = Memo::new(move |_| {
        (
            id.get().is_some(),
            detail.fault.get(),
            detail.data.with(Option::is_some),
        )
    });
    let body = move || match known.get() {
        (false, ..) => {
            let text = format!(
                "“{}” is no latent id: ids are whole numbers from 0.",
                segment.get()
            );
            view! { <h1>"Latent"</h1><p class="note bad" data-testid="problem">{text}</p> }
                .into_any()
        }
        (_, Some(fault), _) => {
            let missing = fault.is_missing();
            view! {
                <h1>{format!("Latent {}", segment.get())}</h1>
                {fault_note(&fault, (!missing).then(|| Callback::new(move |()| detail.reload())))}
                <p><a class="button" href=latents_path(&slug.get())>"All latents"</a></p>
            }
            .into_any()
        }
        (_, None, false) => {
            view! { <h1>{format!("Latent {}", segment.get())}</h1>{skeleton(12)} }.into_any()
        }
        (_, None, true) => view! { <Content page /> }.into_any(),
    };
    view! { <div class="stack latent-page" class:busy=move || detail.busy.get()>{body}{top}</div> }
}

#[component]
fn Content(page: Page) -> impl IntoView {
    let with = move |show: fn(Page, &Arc<LatentDetail>) -> AnyView| {
        move || page.detail.get().map(|detail| show(page, &detail))
    };
    view! {
        {with(head::title)}
        {with(head::numbers)}
        <div class="cols latent">
            <div class="stack">
                <tryout::Tryout page />
                <examples::Examples page />
            </div>
            <aside class="stack">
                {with(|_, detail| lens::card(detail))}
                {with(|_, detail| beside::histogram(detail))}
                {with(beside::concepts)}
                {with(beside::neighbours)}
                {with(|_, detail| beside::scaling(detail))}
            </aside>
        </div>
    }
}
