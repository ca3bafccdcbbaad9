//! The test box: where this latent fires on the reader's own prompt, and in which model.

use api::{ActivationsRequest, ActivationsResponse, LatentSet};
use leptos::prelude::*;

use super::Page;
use crate::parts::signal::{Memo, RwSignal};
use crate::{
    display::{
        cells::{of_latent, summary},
        numbers::short,
        verdict::class_style,
    },
    explorer::explorer,
    nav::History,
    net::{
        load::{Load, use_load},
        request::Request,
    },
    parts::{
        card::Card,
        live::{live, memo, when_changed},
        prompt_box::{PromptBox, models_note},
        states::fault_note,
        strip::{Strip, legend},
    },
    state::latent::LatentState,
};

/// Runs the address's prompt beside asking for the latent itself, so that neither waits for the other.
pub(super) fn probe(
    slug: Memo<String>,
    id: Memo<Option<u32>>,
    state: Memo<LatentState>,
) -> Load<ActivationsResponse> {
    let ready = explorer().ready;
    use_load(move || {
        let prompt = state.read().request().filter(|_| ready.get())?;
        let latents = LatentSet::Ids(vec![id.get()?]);
        Some(Request::activations(&ActivationsRequest {
            dictionary: slug.get(),
            prompt,
            latents,
            top_k: 0,
            kl: false,
        }))
    })
}

/// A prompt through both models, coloured by this latent.
pub(super) fn card(page: Page, load: Load<ActivationsResponse>) -> AnyView {
    let now = page.state.get_untracked();
    let text = RwSignal::new(now.prompt.unwrap_or_default());
    let raw = RwSignal::new(now.raw);
    // "Back" brings the earlier prompt into the field too.
    let asked = memo(move || page.state.with(|state| (state.prompt.clone(), state.raw)));
    when_changed(asked, move |(prompt, is_raw)| {
        text.set(prompt.unwrap_or_default());
        raw.set(is_raw);
    });
    let submit = move || {
        let before = page.state.get_untracked();
        let next = LatentState {
            prompt: Some(text.get_untracked()),
            raw: raw.get_untracked(),
            ..before.clone()
        };
        if next == before {
            load.state.reload();
        } else {
            page.change.run((next, History::Push));
        }
    };
    let result = live(move || {
        if let Some(fault) = load.state.fault.get() {
            return Some(fault_note(&fault, Some(load.state)));
        }
        let answer = load.get()?;
        let detail = page.detail.get()?;
        let latent = answer
            .latents
            .first()
            .filter(|latent| latent.id == detail.row.id)?;
        let known = detail.row.max_activation.filter(|max| *max > 0.0);
        let largest = f64::from(latent.values.iter().copied().fold(0.0f32, f32::max));
        let cells = of_latent(&answer.tokens, latent, known.unwrap_or(largest));
        let firing = latent.values.iter().filter(|v| **v > 0.0).count();
        let words = if firing == 0 {
            format!("It fires nowhere in these {} tokens.", cells.len())
        } else {
            format!(
                "It fires on {firing} of {} tokens, {}.",
                cells.len(),
                summary(&cells)
            )
        };
        let scale = match known {
            Some(max) => format!("the latent’s own maximum, v {}", short(max)),
            None => "this prompt’s maximum".into(),
        };
        let label = format!("The prompt’s tokens. {words} Arrow keys move between them.");
        let strip = Strip {
            cells,
            label,
            tone: class_style(detail.row.class),
            latent: Some(latent.id),
            broken: true,
            choice: None,
        };
        let view = view! {
            <div data-testid="try-result">
                <p class="small" data-testid="try-summary" aria-live="polite">{words}</p>
                {strip.show()}
                {legend(&scale, 1)}
            </div>
        };
        Some(view.into_any())
    });
    let form = PromptBox {
        text,
        raw,
        action: "Run",
        label: "Prompt to test this latent on",
    };
    let slow = load.state.slow();
    let body = view! { {models_note()}{form.form(load.state.busy.into(), submit)}<div class:busy=move || slow.get()>{result}</div> };
    Card::new("try", "Try it")
        .remark("both models, this latent")
        .holding(body.into_any())
}
