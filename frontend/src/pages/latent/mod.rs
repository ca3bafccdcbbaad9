//! One latent: what it is, where it fires, what it writes, and what a prompt does to it.

mod beside;
mod examples;
mod head;
mod lens;
mod notes;
mod overlay;
mod tryout;

use std::sync::Arc;

use api::{ActivationsResponse, LatentDetail, LatentsPage};
use leptos::prelude::*;

use self::{examples::Feed, notes::Notes};

use crate::parts::signal::Memo;
use crate::{
    explorer::explorer,
    nav::{History, goto, use_dictionary, use_place, use_title, use_url_state},
    net::{
        load::{Load, use_load},
        request::Request,
    },
    parts::{
        keys::use_keys,
        live::{live, memo},
        provenance::provenance,
        states::{fault_note, skeleton, wrong},
    },
    state::{
        UrlState,
        lab::{LabState, PromptForm},
        latent::LatentState,
        place::{Place, latent_path, latents_path},
        triage::{PAGE, TriageState},
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
    /// The rows of the table that led here.
    selection: Load<LatentsPage>,
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
                        .as_ref()
                        .and_then(|s| s.prompts.first())
                        .map_or("", String::as_str),
                )
            }
        };
        let lab = LabState {
            prompt,
            ..id.map_or_else(LabState::default, |id| {
                LabState::steering(self.slug.get(), id)
            })
        };
        lab.href("lab")
    }

    /// Where this latent stands in the table that led here: its row on the page, and the page.
    fn selected(self) -> Option<(usize, Arc<LatentsPage>)> {
        let id = self.id.get()?;
        // While the next rows are on their way, the last ones stand elsewhere in the table.
        if self.selection.state.busy.get() {
            return None;
        }
        let rows = self.selection.get()?;
        let at = rows.rows.iter().position(|row| row.id == id)?;
        Some((at, rows))
    }

    /// The latent before or after this one: in the table that led here, or by id.
    fn beside(self, forward: bool) -> Option<String> {
        let id = self.id.get()?;
        let slug = self.slug.get();
        if let (Some(from), Some((at, rows))) = (self.state.get().from, self.selected()) {
            let to = if forward {
                at.checked_add(1)
            } else {
                at.checked_sub(1)
            };
            let to = to?;
            let row = rows.rows.get(to)?;
            let state = LatentState {
                from: Some(followed(from, to, &rows)),
                ..LatentState::default()
            };
            return Some(state.href(&latent_path(&slug, row.id)));
        }
        if self.selection.state.busy.get() {
            return None;
        }
        let all = explorer().dictionary(Some(&slug)).map_or(0, |d| d.latents);
        let to = if forward {
            id.checked_add(1)
        } else {
            id.checked_sub(1)
        };
        let to = to.filter(|id| (*id as usize) < all)?;
        Some(latent_path(&slug, to))
    }
}

/// The query of a table whose rows were read, for the latent in row `to` of them: with other rows, around that one, where it is the
/// first or last of them but not of the selection.
fn followed(from: String, to: usize, rows: &LatentsPage) -> String {
    let mut table = TriageState::read(&from);
    let place = table.row + to as u64;
    let first = to == 0 && place > 0;
    let last = to + 1 == rows.rows.len() && place + 1 < rows.total;
    if !first && !last {
        return from;
    }
    table.row = place.saturating_sub(PAGE / 2);
    table.write()
}

/// `/d/{dictionary}/l/{id}`.
#[component]
pub(crate) fn Latent() -> impl IntoView {
    let slug = use_dictionary();
    let place = use_place();
    let segment = memo(move || match place.get() {
        Place::Latent { id, .. } => id,
        _ => String::new(),
    });
    let id = memo(move || segment.with(|text| text.parse().ok()));
    let (state, set) = use_url_state::<LatentState>();
    let detail = use_load(move || Some(Request::latent(&slug.read(), id.get()?)));
    let feed = Feed::of(slug, id, state);
    let tried = tryout::probe(slug, id, state);
    let change = Callback::new(move |(next, history)| set(next, history));
    // The same request as the table's, so that the browser may answer it.
    let selection = use_load(move || {
        let from = state.read().from.clone()?;
        let table = TriageState::read(&from);
        Some(Request::latents(&slug.read(), &table.request()))
    });
    let page = Page {
        slug,
        id,
        state,
        change,
        detail,
        selection,
    };
    use_title(Signal::derive(move || {
        let label = detail
            .data
            .read()
            .as_ref()
            .and_then(|d| d.row.label.clone());
        let between = if label.is_some() { ", " } else { "" };
        format!(
            "Latent {}{between}{}",
            segment.get(),
            label.unwrap_or_default()
        )
    }));
    let notes = Notes::of(slug, id);
    use_keys(move |key, event| {
        if notes.take_key(key) {
            return event.prevent_default();
        }
        let to = match key {
            "j" => page.beside(true),
            "k" => page.beside(false),
            "s" => Some(page.lab()),
            _ => None,
        };
        if let Some(to) = to {
            goto(&to);
        }
    });
    let top = live(move || {
        explorer()
            .study_with(&slug.read())
            .map(|(study, dictionary)| provenance(&study, &dictionary))
    });
    // Examples and test box live as long as the page; only what they show changes with the latent.
    let known = memo(move || {
        (
            id.get().is_some(),
            detail.state.fault.get(),
            detail.is_there(),
        )
    });
    let body = live(move || {
        let title =
            || view! { <h1>{format!("Latent {}", segment.get_untracked())}</h1> }.into_any();
        match known.get() {
            (false, ..) => {
                let text = format!(
                    "“{}” is no latent id: ids are whole numbers from 0.",
                    segment.get()
                );
                view! { {title()}{wrong(text)} }.into_any()
            }
            (_, Some(fault), _) => {
                view! { {title()}{fault_note(&fault, Some(detail.state))}<p><a class="button" href=latents_path(&slug.read())>"All latents"</a></p> }.into_any()
            }
            (_, None, false) => view! { {title()}{skeleton(12)} }.into_any(),
            (_, None, true) => content(page, feed, tried, notes),
        }
    });
    let slow = detail.state.slow();
    view! { <div class="stack latent-page" class:busy=move || slow.get()>{body}{top}</div> }
        .into_any()
}

fn content(page: Page, feed: Feed, tried: Load<ActivationsResponse>, notes: Notes) -> AnyView {
    let with = move |show: fn(Page, &LatentDetail) -> AnyView| {
        live(move || page.detail.get().map(|detail| show(page, &detail)))
    };
    view! {
        {with(head::title)}
        {with(head::numbers)}
        <div class="cols latent">
            <div class="stack">{tryout::card(page, tried)}{examples::card(page, feed)}</div>
            <aside class="stack" aria-label="More about this latent">
                {notes::card(page, notes)}
                {with(|page, detail| lens::card(&page.slug.read(), detail))}
                {with(|_, detail| beside::histogram(detail))}
                {with(|_, detail| beside::concepts(detail))}
                {with(|_, detail| beside::activity(detail))}
                {with(beside::twins)}
                {with(beside::neighbours)}
                {with(beside::correlated)}
                {with(beside::scaling)}
            </aside>
        </div>
    }
    .into_any()
}
