//! Distributions of ν^ε and ν^r beside their random baselines, dictionaries side by side.

use std::sync::Arc;

use api::{ScalingSummary, StudyInfo};
use leptos::prelude::*;

use super::later::{Later, shown};
use crate::{
    display::{
        numbers::rough,
        ratios::{Ratio, picture, table},
    },
    parts::{card::Card, live::live, states::empty, symbols::symbol, twin::twin},
};

/// The card with one column for each dictionary.
pub(in crate::pages) fn card(study: &StudyInfo, later: Later) -> AnyView {
    let loads = later.ask::<ScalingSummary>(study, "scaling");
    let body = live(move || {
        shown(&loads, 6, |mut answers| {
            answers.retain(|(_, summary)| !summary.groups.is_empty());
            if answers.is_empty() {
                return empty(
                    "No distributions are stored: `stereoscope analyse STUDY --dictionary NAME --steps scaling,baselines` computes them.",
                );
            }
            let columns = answers.into_iter().map(column).collect_view();
            view! { <div class="cols by-dictionary">{columns}</div> }.into_any()
        })
    });
    Card::new("ratios", "Latent Scaling")
        .remark("dashed: the cut; at the right: median (middle half)")
        .holding(body)
}

fn column((slug, summary): (String, Arc<ScalingSummary>)) -> AnyView {
    let one = |ratio: Ratio| {
        view! {
            <h4>{symbol(ratio.name())}" "<span class="small quiet">{ratio.words()}</span></h4>
            <ul class="ratios" inner_html=picture(&summary, ratio)></ul>
        }
        .into_any()
    };
    let both = Ratio::BOTH.map(one).collect_view();
    let tokens = summary.tokens.map(|n| format!("over {} tokens", rough(n)));
    let summary = summary.clone();
    let label = format!("Latent Scaling of {slug}");
    view! {
        <section aria-label=label data-testid="ratios-of">
            <h3>{slug}" "<span class="small quiet">{tokens}</span></h3>
            {both}
            {twin(move || table(&summary))}
        </section>
    }
    .into_any()
}
