//! Causal effects: what moving sets of latents from base to chat does, dictionaries side by side.

use std::sync::Arc;

use api::{CausalEffects, StudyInfo};
use leptos::prelude::*;

use super::later::{Later, shown};
use crate::parts::signal::Memo;
use crate::{
    display::effects::{Draw, basis, picture, table},
    parts::{
        card::Card,
        live::{live, memo},
        segments::segments,
        states::empty,
        twin::twin,
    },
    state::study::{METRICS, Measured, SCOPES},
};

/// The card with its two switches, showing `measured`.
pub(in crate::pages) fn card(
    study: &StudyInfo,
    later: Later,
    measured: Memo<Measured>,
    keep: Callback<Measured>,
) -> AnyView {
    let loads = later.ask::<CausalEffects>(study, "effects");
    let body = live(move || {
        shown(&loads, 6, |mut answers| {
            answers.retain(|(_, effects)| !effects.setups.is_empty());
            if answers.is_empty() {
                empty(
                    "No causal effects are stored: `stereoscope analyse STUDY --dictionary NAME --steps effects` computes them.",
                )
            } else {
                bars(answers, measured, keep)
            }
        })
    });
    Card::new("effects", "Causal effects")
        .remark("means over answer tokens with 95 % intervals")
        .holding(body)
}

fn bars(
    answers: Vec<(String, Arc<CausalEffects>)>,
    measured: Memo<Measured>,
    keep: Callback<Measured>,
) -> AnyView {
    let answers = StoredValue::new(answers);
    let draw = move |draw: Draw| {
        let Measured { scope, metric } = measured.get();
        answers.with_value(|answers| draw(answers, scope, metric))
    };
    let scope = memo(move || {
        let scope = measured.read().scope;
        SCOPES.iter().find(|s| s.0 == scope).map_or("", |s| s.1)
    });
    let metric = memo(move || {
        let metric = measured.read().metric;
        METRICS.iter().find(|m| m.0 == metric).map_or("", |m| m.1)
    });
    let choose_scope = Callback::new(move |name: &'static str| {
        if let Some(&(scope, ..)) = SCOPES.iter().find(|s| s.1 == name) {
            keep.run(Measured {
                scope,
                ..measured.get_untracked()
            });
        }
    });
    let choose_metric = Callback::new(move |name: &'static str| {
        if let Some(&(metric, ..)) = METRICS.iter().find(|m| m.1 == name) {
            keep.run(Measured {
                metric,
                ..measured.get_untracked()
            });
        }
    });
    let about = move || {
        let metric = measured.read().metric;
        METRICS.iter().find(|m| m.0 == metric).map_or("", |m| m.3)
    };
    let scopes = SCOPES.map(|(_, name, words)| (name, words));
    let metrics = METRICS.map(|(_, name, words, _)| (name, words));
    let nothing = live(move || {
        let none = draw(picture).is_empty();
        none.then(|| empty("This was not measured here."))
    });
    view! {
        <div class="line">
            {segments("What is measured", "effects-metric", &metrics, metric, choose_metric)}
            {segments("Answer tokens", "effects-scope", &scopes, scope, choose_scope)}
        </div>
        <p class="small quiet">{about}</p>
        <ul class="effects" data-testid="effect-bars" inner_html=move || draw(picture)></ul>
        {nothing}
        {twin(move || draw(table))}
        <p class="small quiet">{answers.with_value(|answers| basis(answers))}</p>
    }
    .into_any()
}
