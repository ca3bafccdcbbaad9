//! What stands beside the examples: activations, ground truth, neighbours, Latent Scaling.

use std::sync::Arc;

use api::LatentDetail;
use leptos::prelude::*;

use super::Page;
use crate::{
    display::numbers::{count, fixed, short_or_dash},
    nav::latent_path,
    parts::{
        badge::class_mark,
        histogram::{Bars, Tone},
        states::empty,
    },
};

/// The histogram of v.
pub(super) fn histogram(detail: &Arc<LatentDetail>) -> AnyView {
    let body = match &detail.histogram {
        Some(histogram) if histogram.counts.iter().any(|n| *n > 0) => {
            let ends = [histogram.edges.first(), histogram.edges.last()];
            let mut ticks: Vec<f64> = ends.into_iter().flatten().copied().collect();
            let middle = histogram.edges.get(histogram.edges.len() / 2).copied();
            ticks.extend(middle);
            view! { <Bars histogram=histogram.clone() name="v" counted="tokens" tone=Tone::Class(detail.row.class) ticks /> }.into_any()
        }
        Some(_) => empty("It never fired in the tokens analysed."),
        None => empty("Activations come with the analysis, which has not run for this dictionary."),
    };
    view! {
        <section class="card" aria-labelledby="activations-title" data-testid="activation-histogram">
            <header><h2 id="activations-title">"Activations"</h2><span class="aside small quiet">"v over active tokens, log count"</span></header>
            {body}
        </section>
    }
    .into_any()
}

/// Scores against ground truth, if there are any.
pub(super) fn concepts(_: Page, detail: &Arc<LatentDetail>) -> AnyView {
    if detail.concepts.is_empty() {
        return ().into_any();
    }
    let rows = detail
        .concepts
        .iter()
        .map(|score| {
            view! {
                <tr>
                    <th scope="row">{score.concept.clone()}</th>
                    <td class="l">{score.against.clone()}</td>
                    <td>{fixed(score.auroc, 3)}</td>
                    <td>{count(score.positives)} " / " {count(score.negatives)}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <section class="card flush" aria-labelledby="truth-title" data-testid="concept-scores">
            <header><h2 id="truth-title">"Against ground truth"</h2><span class="aside small quiet">"held-out prompts"</span></header>
            <div class="scroll">
                <table class="rows">
                    <thead><tr><th scope="col">"Concept"</th><th scope="col" class="l">"told from"</th><th scope="col">"AUROC"</th><th scope="col">"with / without"</th></tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </section>
    }
    .into_any()
}

/// Latents whose chat decoder rows point the same way.
pub(super) fn neighbours(page: Page, detail: &Arc<LatentDetail>) -> AnyView {
    let slug = page.slug.get();
    let body = if detail.neighbours.is_empty() {
        view! { <div class="pad">{empty("No neighbours are stored; they come with the analysis.")}</div> }.into_any()
    } else {
        let rows = detail
            .neighbours
            .iter()
            .map(|near| {
                view! {
                    <tr>
                        <th scope="row" class="l">
                            <a class="open" href=latent_path(&slug, near.id)>
                                {class_mark(near.class)}
                                <span class="mono">{near.id}</span>
                                {near.label.clone().map(|label| view! { <span class="label">{label}</span> })}
                            </a>
                        </th>
                        <td>{fixed(near.cosine, 3)}</td>
                    </tr>
                }
            })
            .collect_view();
        view! {
            <table class="rows" data-testid="neighbours">
                <thead><tr><th scope="col" class="l">"Latent"</th><th scope="col">"cosine"</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
        }
        .into_any()
    };
    view! {
        <section class="card flush" aria-labelledby="near-title">
            <header><h2 id="near-title">"Neighbours"</h2><span class="aside small quiet">"by chat decoder row"</span></header>
            {body}
        </section>
    }
    .into_any()
}

/// The coefficients behind the ratios.
pub(super) fn scaling(detail: &Arc<LatentDetail>) -> AnyView {
    let b = &detail.row.betas;
    let lines: [(&str, Option<f64>, Option<f64>); 4] = [
        ("residual", b.beta_activation_base, b.beta_activation_chat),
        (
            "residual less bias",
            b.beta_activation_no_bias_base,
            b.beta_activation_no_bias_chat,
        ),
        (
            "reconstruction",
            b.beta_reconstruction_base,
            b.beta_reconstruction_chat,
        ),
        ("error", b.beta_error_base, b.beta_error_chat),
    ];
    if lines
        .iter()
        .all(|(_, base, chat)| base.is_none() && chat.is_none())
    {
        return ().into_any();
    }
    let rows = lines
        .iter()
        .map(|&(name, base, chat)| {
            let ratio = base.zip(chat).map(|(base, chat)| base / chat);
            view! { <tr><th scope="row">{name}</th><td>{short_or_dash(base)}</td><td>{short_or_dash(chat)}</td><td>{short_or_dash(ratio)}</td></tr> }
        })
        .collect_view();
    view! {
        <section class="card flush" aria-labelledby="scaling-title">
            <header><h2 id="scaling-title">"Latent Scaling"</h2><span class="aside small quiet">"β by target"</span></header>
            <div class="scroll">
                <table class="rows">
                    <thead><tr><th scope="col" class="l">"Target"</th><th scope="col">"base"</th><th scope="col">"chat"</th><th scope="col">"ratio"</th></tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </section>
    }
    .into_any()
}
