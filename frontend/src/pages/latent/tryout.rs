//! The test box: where this latent fires on the reader's own prompt, and in which model.

use api::{ActivationsRequest, ActivationsResponse, LatentSet};
use leptos::prelude::*;

use super::Page;
use crate::{
    display::{
        cells::{of_latent, summary},
        numbers::{count, short},
        verdict::class_style,
    },
    explorer::explorer,
    nav::History,
    net::{load::use_load, request::Request},
    parts::{
        prompt_box::{ModelsNote, PromptBox},
        states::fault_note,
        strip::TokenStrip,
    },
    state::latent::LatentState,
};

/// A prompt through both models, coloured by this latent.
#[component]
pub(super) fn Tryout(page: Page) -> impl IntoView {
    let explorer = explorer();
    let now = page.state.get_untracked();
    let text = RwSignal::new(now.prompt.unwrap_or_default());
    let raw = RwSignal::new(now.raw);
    // "Back" brings the earlier prompt into the field too.
    Effect::new(move |before: Option<()>| {
        let state = page.state.get();
        if before.is_some() {
            let prompt = state.prompt.unwrap_or_default();
            if *text.read_untracked() != prompt {
                text.set(prompt);
            }
            raw.set(state.raw);
        }
    });
    let ready = Memo::new(move |_| explorer.models.read().ready());
    let load = use_load::<ActivationsResponse>(move || {
        let prompt = page.state.get().request().filter(|_| ready.get())?;
        let latents = LatentSet::Ids(vec![page.id.get()?]);
        Some(Request::activations(&ActivationsRequest {
            dictionary: page.slug.get(),
            prompt,
            latents,
            top_k: 0,
        }))
    });
    let submit = Callback::new(move |()| {
        let asked = LatentState {
            prompt: Some(text.get_untracked()),
            raw: raw.get_untracked(),
            ..page.state.get_untracked()
        };
        if asked == page.state.get_untracked() {
            load.reload();
        } else {
            page.change.run((asked, History::Push));
        }
    });
    let result = move || {
        if let Some(fault) = load.fault.get() {
            return Some(fault_note(
                &fault,
                Some(Callback::new(move |()| load.reload())),
            ));
        }
        let answer = load.get()?;
        let latent = answer.latents.first()?;
        let detail = page.detail.get()?;
        let known = detail.row.max_activation.filter(|max| *max > 0.0);
        let largest = f64::from(latent.values.iter().copied().fold(0.0f32, f32::max));
        let max = known.unwrap_or(largest);
        let cells = of_latent(&answer.tokens, latent, max);
        let firing = latent.values.iter().filter(|v| **v > 0.0).count();
        let words = if firing == 0 {
            format!("It fires nowhere in these {} tokens.", cells.len())
        } else {
            format!(
                "It fires on {} of {} tokens; {}.",
                count(firing as u64),
                cells.len(),
                summary(&cells)
            )
        };
        let scale = match known {
            Some(max) => format!("scale: the latent’s own maximum, v {}", short(max)),
            None => "scale: this prompt’s maximum".into(),
        };
        let label = format!(
            "The prompt’s tokens: {} Arrow keys move between them.",
            words
        );
        Some(
            view! {
                <div data-testid="try-result">
                    <p class="small" data-testid="try-summary" aria-live="polite">{words}</p>
                    <TokenStrip cells label tone=class_style(detail.row.class) latent=Some(latent.id) broken=true />
                    <p class="legend small quiet">
                        <span class="key" aria-hidden="true"></span>
                        "top half: what base puts in, bottom half: chat · " {scale}
                    </p>
                </div>
            }
            .into_any(),
        )
    };
    view! {
        <section class="card" aria-labelledby="try-title" class:busy=move || load.busy.get()>
            <header><h2 id="try-title">"Try it"</h2><span class="aside small quiet">"both models, this latent"</span></header>
            <ModelsNote />
            <PromptBox text raw action="Run" label="Prompt to test this latent on" submit busy=load.busy.into() />
            {result}
        </section>
    }
}
