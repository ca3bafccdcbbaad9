//! What stands beside the examples: activations, ground truth, neighbours, Latent Scaling.

use api::{ConceptScore, LatentDetail, Neighbour};
use leptos::prelude::*;

use super::Page;
use crate::{
    display::numbers::{count, fixed, short_or_dash},
    parts::{
        badge::latent_link,
        card::Card,
        histogram::{Bars, Tone},
        states::empty,
    },
    state::place::latent_path,
};

/// The histogram of v.
pub(super) fn histogram(detail: &LatentDetail) -> AnyView {
    let body = match &detail.histogram {
        Some(histogram) if histogram.counts.iter().any(|n| *n > 0) => {
            let edges = &histogram.edges;
            let ticks = [edges.first(), edges.get(edges.len() / 2), edges.last()];
            let bars = Bars {
                histogram: histogram.clone(),
                name: "v",
                counted: "tokens",
                tone: Tone::Class(detail.row.class),
                ticks: ticks.into_iter().flatten().copied().collect(),
            };
            bars.show()
        }
        Some(_) => empty("It never fired in the tokens analysed."),
        None => empty("Activations come with the analysis, which has not run for this dictionary."),
    };
    Card::new("activations", "Activations")
        .remark("v over active tokens, log count")
        .holding(body)
}

/// Scores against ground truth, if there are any.
pub(super) fn concepts(detail: &LatentDetail) -> AnyView {
    if detail.concepts.is_empty() {
        return ().into_any();
    }
    let row = |score: &ConceptScore| {
        let prompts = format!("{} / {}", count(score.positives), count(score.negatives));
        view! {
            <tr title=format!("prompts with / without: {prompts}")>
                <th scope="row">{score.concept.clone()}</th>
                <td class="l wrap">{score.against.clone()}</td>
                <td>{fixed(score.auroc, 3)}</td>
            </tr>
        }
        .into_any()
    };
    let rows = detail.concepts.iter().map(row).collect_view();
    let head = view! { <tr><th scope="col">"Concept"</th><th scope="col" class="l">"told from"</th><th scope="col">"AUROC"</th></tr> };
    Card::new("truth", "Against ground truth")
        .remark("held-out prompts")
        .flush()
        .holding(table(head.into_any(), rows.into_any()))
}

/// Latents whose chat decoder rows point the same way.
pub(super) fn neighbours(page: Page, detail: &LatentDetail) -> AnyView {
    let slug = page.slug.get();
    let row = |near: &Neighbour| {
        let link = latent_link(
            latent_path(&slug, near.id),
            near.id,
            Some(near.class),
            near.label.clone(),
        );
        view! { <tr><th scope="row" class="l">{link}</th><td>{fixed(near.cosine, 3)}</td></tr> }
            .into_any()
    };
    let body = if detail.neighbours.is_empty() {
        view! { <div class="pad">{empty("No neighbours are stored; they come with the analysis.")}</div> }.into_any()
    } else {
        let rows = detail.neighbours.iter().map(row).collect_view();
        let head =
            view! { <tr><th scope="col" class="l">"Latent"</th><th scope="col">"cosine"</th></tr> };
        table(head.into_any(), rows.into_any())
    };
    Card::new("neighbours", "Neighbours")
        .remark("by chat decoder row")
        .flush()
        .holding(body)
}

/// The coefficients behind the ratios.
pub(super) fn scaling(detail: &LatentDetail) -> AnyView {
    let b = &detail.row.betas;
    let lines: [(&'static str, Option<f64>, Option<f64>); 4] = [
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
    let row = |(name, base, chat): (&'static str, Option<f64>, Option<f64>)| {
        let ratio = base.zip(chat).map(|(base, chat)| base / chat);
        view! { <tr><th scope="row">{name}</th><td>{short_or_dash(base)}</td><td>{short_or_dash(chat)}</td><td>{short_or_dash(ratio)}</td></tr> }.into_any()
    };
    let rows = lines.map(row).collect_view();
    let head = view! { <tr><th scope="col" class="l">"Target"</th><th scope="col">"base"</th><th scope="col">"chat"</th><th scope="col">"ratio"</th></tr> };
    Card::new("scaling", "Latent Scaling")
        .remark("β by target")
        .flush()
        .holding(table(head.into_any(), rows.into_any()))
}

fn table(head: AnyView, rows: AnyView) -> AnyView {
    view! { <div class="scroll"><table class="rows"><thead>{head}</thead><tbody>{rows}</tbody></table></div> }.into_any()
}
