//! What stands beside the examples: activations, ground truth, other latents like it, Latent Scaling.

use api::{ActivityShare, Class, ConceptScore, LatentDetail, Neighbour};
use leptos::prelude::*;

use super::Page;
use crate::{
    display::{
        joint,
        numbers::{count, fixed},
        tables::{self, Target},
    },
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
                <th scope="row" class="wrap">{score.concept.clone()}</th>
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
        .holding(table("truth", head.into_any(), rows.into_any()))
}

/// Latents whose chat decoder rows point the same way.
pub(super) fn neighbours(page: Page, detail: &LatentDetail) -> AnyView {
    if detail.neighbours.is_empty() {
        let body = view! { <div class="pad">{empty("No neighbours are stored; they come with the analysis.")}</div> };
        return Card::new("neighbours", "Neighbours")
            .flush()
            .holding(body.into_any());
    }
    near(
        Card::new("neighbours", "Neighbours").remark("by chat decoder row"),
        page,
        &detail.neighbours,
    )
}

/// Latents of the opposite class that write the same in their own model.
pub(super) fn twins(page: Page, detail: &LatentDetail) -> AnyView {
    if detail.twins.is_empty() {
        return ().into_any();
    }
    let near: Vec<Neighbour> = detail.twins.iter().map(|twin| twin.near.clone()).collect();
    let mut together = String::new();
    for twin in &detail.twins {
        let pair = [detail.row.id, twin.near.id];
        match &twin.joint {
            Some(joint) => joint::joint(&mut together, joint, pair),
            None => joint::unknown(&mut together, pair, &command(page, "joint")),
        }
    }
    Card::new("twins", "Twins")
        .remark("opposite class, own decoder rows above 0.9")
        .flush()
        .holding(and(listed("twins", page, &near), together))
}

/// The command that computes a step of this dictionary.
fn command(page: Page, step: &str) -> String {
    let slug = page.slug.read_untracked();
    [
        "stereoscope analyse STUDY --dictionary ",
        &slug,
        " --steps ",
        step,
    ]
    .concat()
}

/// A table, and markup under it.
fn and(table: AnyView, under: String) -> AnyView {
    view! { {table}<div class="pad stack" inner_html=under></div> }.into_any()
}

fn near(card: Card, page: Page, latents: &[Neighbour]) -> AnyView {
    let id = card.id;
    card.flush().holding(listed(id, page, latents))
}

fn listed(id: &'static str, page: Page, latents: &[Neighbour]) -> AnyView {
    let rows = latents.iter().map(|near| {
        let link = link(page, near.id, near.class, near.label.as_ref());
        line(link, fixed(near.cosine, 3), None)
    });
    let rows = rows.collect_view();
    let head =
        view! { <tr><th scope="col" class="l">"Latent"</th><th scope="col">"cosine"</th></tr> };
    table(id, head.into_any(), rows.into_any())
}

/// Latents that fire together with this one.
pub(super) fn correlated(page: Page, detail: &LatentDetail) -> AnyView {
    if detail.correlated.is_empty() {
        return ().into_any();
    }
    let rows = detail.correlated.iter().map(|with| {
        let link = link(page, with.id, with.class, with.label.as_ref());
        line(link, fixed(with.correlation, 3), Some(count(with.together)))
    });
    let rows = rows.collect_view();
    // Only a chat-only latent has this, with its closest partner.
    let mut together = String::new();
    for with in &detail.correlated {
        if let Some(joint) = &with.joint {
            joint::joint(&mut together, joint, [detail.row.id, with.id]);
        }
    }
    let head = view! { <tr><th scope="col" class="l">"Latent"</th><th scope="col">"correlation"</th><th scope="col">"tokens together"</th></tr> };
    Card::new("correlated", "Fires together with")
        .remark("Pearson, over all tokens")
        .flush()
        .holding(and(
            table("correlated", head.into_any(), rows.into_any()),
            together,
        ))
}

fn link(page: Page, id: u32, class: Class, label: Option<&String>) -> AnyView {
    let href = latent_path(&page.slug.read_untracked(), id);
    latent_link(href, id, Some(class), label.cloned())
}

fn line(link: AnyView, value: String, more: Option<String>) -> AnyView {
    let more = more.map(|more| view! { <td>{more}</td> }.into_any());
    view! { <tr><th scope="row" class="l">{link}</th><td>{value}</td>{more}</tr> }.into_any()
}

/// On which tokens it fires, by corpus and role.
pub(super) fn activity(detail: &LatentDetail) -> AnyView {
    if detail.shares.is_empty() {
        return ().into_any();
    }
    let chats = tables::in_chats(&detail.template);
    let parts: Vec<ActivityShare> = detail.shares.iter().cloned().chain(chats).collect();
    Card::new("activity", "On which tokens")
        .remark("share of each part’s tokens")
        .flush()
        .holding(drawn("activity", tables::activity(&parts)))
}

/// The coefficients behind the ratios.
pub(super) fn scaling(page: Page, detail: &LatentDetail) -> AnyView {
    let b = &detail.row.betas;
    let targets: [Target; 4] = [
        (
            "residual",
            "activation",
            b.beta_activation_base,
            b.beta_activation_chat,
        ),
        (
            "residual less bias",
            "activation_no_bias",
            b.beta_activation_no_bias_base,
            b.beta_activation_no_bias_chat,
        ),
        (
            "reconstruction",
            "reconstruction",
            b.beta_reconstruction_base,
            b.beta_reconstruction_chat,
        ),
        ("error", "error", b.beta_error_base, b.beta_error_chat),
    ];
    if targets
        .iter()
        .all(|(.., base, chat)| base.is_none() && chat.is_none())
    {
        return ().into_any();
    }
    let remark = if detail.fits.is_empty() {
        "β by target"
    } else {
        "β by target; explained in base / chat"
    };
    Card::new("scaling", "Latent Scaling")
        .remark(remark)
        .flush()
        .holding(and(
            drawn("scaling", tables::betas(&targets, &detail.fits)),
            tables::by_strength(
                &targets,
                &detail.verification,
                &command(page, "verification"),
            ),
        ))
}

/// A table under the heading `id`, which the keyboard can scroll.
fn table(id: &'static str, head: AnyView, rows: AnyView) -> AnyView {
    view! { <div class="scroll" tabindex="0" role="group" aria-labelledby=id><table class="rows"><thead>{head}</thead><tbody>{rows}</tbody></table></div> }.into_any()
}

/// A table whose rows are markup.
fn drawn(id: &'static str, rows: String) -> AnyView {
    view! { <div class="scroll" tabindex="0" role="group" aria-labelledby=id><table class="rows" inner_html=rows></table></div> }.into_any()
}
