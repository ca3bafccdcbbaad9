//! Another latent on the same examples: from what is stored of it, else by running the models on the text.

use std::sync::Arc;

use api::{
    ActivationsRequest, ActivationsResponse, Example, ExamplesPage, LatentDetail, LatentSet, Prompt,
};
use leptos::prelude::*;

use super::Page;
use crate::parts::signal::{Memo, RwSignal};
use crate::{
    explorer::explorer,
    nav::History,
    net::{
        load::{Load, use_load},
        request::Request,
    },
    parts::{
        field::{Button, Select},
        live::{live, memo},
        states::fault_note,
    },
    state::{latent::LatentState, place::latent_path},
};

/// Another latent that the examples show as well.
#[derive(Clone, Copy)]
pub(super) struct Overlay {
    /// Its id.
    pub(super) chosen: Memo<Option<u32>>,
    detail: Load<LatentDetail>,
    stored: Load<ExamplesPage>,
}

/// An example with the other latent on it.
#[derive(Clone, Copy)]
pub(super) struct Beside {
    overlay: Overlay,
    sequence: u64,
    /// What the models say of the text, once they are asked.
    ran: Load<ActivationsResponse>,
    asked: RwSignal<bool>,
}

impl Overlay {
    /// The latent that the address names, on the sequences that are shown.
    pub(super) fn of(
        slug: Memo<String>,
        state: Memo<LatentState>,
        sequences: Memo<Vec<u64>>,
    ) -> Self {
        let chosen = memo(move || state.read().overlay);
        let detail = use_load(move || Some(Request::latent(&slug.read(), chosen.get()?)));
        let stored = use_load(move || {
            let (id, sequences) = (chosen.get()?, sequences.get());
            (!sequences.is_empty()).then(|| Request::examples_on(&slug.read(), id, &sequences))
        });
        Self {
            chosen,
            detail,
            stored,
        }
    }

    /// The other latent's largest v, once it is known.
    pub(super) fn max(self) -> Option<f64> {
        let detail = self.detail.get()?;
        let mine = self.chosen.get() == Some(detail.row.id);
        Some(detail.row.max_activation.unwrap_or(0.0)).filter(|_| mine)
    }

    /// The other latent on one of the examples.
    pub(super) fn on(self, page: Page, example: &Example) -> Beside {
        let asked = RwSignal::new(false);
        let ids: Vec<u32> = example.tokens.iter().map(|token| token.id).collect();
        let ran = use_load(move || {
            let latent = self.chosen.get().filter(|_| asked.get())?;
            Some(Request::activations(&ActivationsRequest {
                dictionary: page.slug.get(),
                prompt: Prompt::ids(ids.clone()),
                latents: LatentSet::Ids(vec![latent]),
                top_k: 0,
                kl: false,
            }))
        });
        Beside {
            overlay: self,
            sequence: example.sequence,
            ran,
            asked,
        }
    }
}

impl Beside {
    /// The other latent's v at every token, where it is known, and where from.
    pub(super) fn values(self) -> Option<(Vec<f32>, &'static str)> {
        let chosen = self.overlay.chosen.get()?;
        let stored = self.overlay.stored.get();
        let stored = stored.as_ref().and_then(|page| {
            let mut examples = page.examples.iter();
            examples.find(|example| example.sequence == self.sequence)
        });
        if let Some(example) = stored {
            return Some((example.values.clone(), "as stored"));
        }
        let answer: Arc<ActivationsResponse> = self.ran.get()?;
        let latent = answer.latents.iter().find(|l| l.id == chosen)?;
        Some((latent.values.clone(), "by the models, run just now"))
    }

    /// Where the other latent's values come from, or how to get them.
    pub(super) fn note(self) -> AnyView {
        live(move || {
            let chosen = self.overlay.chosen.get()?;
            if let Some((values, from)) = self.values() {
                let firing = values.iter().filter(|v| **v > 0.0).count();
                let words = format!("{chosen} fires on {firing} tokens here, {from}");
                return Some(
                    view! { <span data-testid="overlay-source">{words}</span> }.into_any(),
                );
            }
            if self.overlay.stored.state.busy.get() || self.ran.state.busy.get() {
                return Some(view! { <span>{format!("asking for {chosen}…")}</span> }.into_any());
            }
            let faults = [self.overlay.stored.state, self.ran.state];
            let fault = faults
                .into_iter()
                .find_map(|state| Some((state.fault.get()?, state)));
            if let Some((fault, state)) = fault {
                return Some(fault_note(&fault, Some(state)));
            }
            let words = format!("not among the stored examples of {chosen}");
            let run = explorer().ready.get().then(|| {
                let button = Button {
                    test: Some("run-overlay"),
                    ..Button::link("run the models on it")
                };
                button.doing(move || self.asked.set(true))
            });
            Some(view! { <span data-testid="overlay-source">{words}</span>{run} }.into_any())
        })
    }
}

/// The menu of latents that go with this one.
pub(super) fn menu(page: Page, overlay: Overlay) -> AnyView {
    live(move || {
        let detail = page.detail.get()?;
        let mut choices = vec![(String::new(), "this latent alone".to_owned())];
        let mut add = |what: &str, id: u32, label: Option<&String>| {
            let value = id.to_string();
            if choices.iter().all(|(known, _)| *known != value) {
                let label = label.map_or(String::new(), |label| format!(" {label}"));
                choices.push((value, format!("{what} {id}{label}")));
            }
        };
        for of in detail.twins.iter().map(|twin| &twin.near) {
            add("twin", of.id, of.label.as_ref());
        }
        for of in &detail.correlated {
            add("fires with", of.id, of.label.as_ref());
        }
        for of in &detail.neighbours {
            add("neighbour", of.id, of.label.as_ref());
        }
        if let Some(chosen) = overlay.chosen.get() {
            add("latent", chosen, None);
        }
        let select = Select {
            label: "Another latent on the same text",
            test: "overlay",
            choices,
        };
        let shown = move || {
            overlay
                .chosen
                .get()
                .map_or(String::new(), |id| id.to_string())
        };
        let choose = move |id: String| {
            let state = LatentState {
                overlay: id.parse().ok(),
                ..page.state.get_untracked()
            };
            page.change.run((state, History::Replace));
        };
        Some(select.showing(shown, choose))
    })
}

/// What the halves of a token mean.
pub(super) fn legend(page: Page, overlay: Overlay) -> AnyView {
    live(move || {
        let (chosen, id) = (overlay.chosen.get()?, page.id.get()?);
        let href = latent_path(&page.slug.read(), chosen);
        let words = format!("upper half: latent {id}, lower half: ");
        Some(view! {
            <p class="legend overlay small quiet" data-testid="overlay-legend">
                <span class="key" aria-hidden="true"></span>
                <span>{words}<a href=href>{format!("latent {chosen}")}</a>", each relative to its own maximum"</span>
            </p>
        }.into_any())
    })
}
