//! Which latents tell which concept, with a prompt to try for each.

use api::{ConceptTruth, GroundTruth, LatentTruth, SeedScore};
use leptos::prelude::*;

use super::Known;
use crate::{
    display::{
        behaviours::{asked, bar_words, plain},
        decimal::{share, shortest},
        markup::fill,
        numbers::{count, fixed, fixed_or_dash, percent, percent_or_dash},
        verdict::class_style,
    },
    parts::twin::twin,
    state::{
        UrlState,
        edit::LaneForm,
        lab::{Colour, LabState, PromptForm},
        latent::LatentState,
        place::latent_path,
    },
};

/// The latent to show for a concept: the best above the cut, else the best there is.
fn best(of: &ConceptTruth) -> Option<&LatentTruth> {
    of.above_cut.as_ref().or(of.any_class.as_ref())
}

/// One row for each concept.
pub(super) fn list((slug, truth): &Known) -> AnyView {
    let rows: String = truth.concepts.iter().map(|of| row(slug, of)).collect();
    let asked = truth.concepts.iter().filter_map(ConceptTruth::met);
    let reached = asked.clone().filter(|met| *met).count();
    let words = format!(
        "For each concept, the latent above the cut (Δ_norm ≥ {}) whose largest v tells its prompts best from others; {reached} of {} reach what was asked for. A prompt opens the lab, coloured by its latent.",
        shortest(truth.cut),
        asked.count()
    );
    let truth = truth.clone();
    view! {
        <p>{words}</p>
        <ul class="known" data-testid="known" inner_html=rows></ul>
        {twin(move || table(&truth))}
    }
    .into_any()
}

fn row(slug: &str, of: &ConceptTruth) -> String {
    let mut out = String::new();
    fill(
        &mut out,
        "<li data-concept=\"{}\" data-against=\"{}\"><span><b>{}</b> <span class=\"small quiet\">from {}</span></span>",
        &[&of.concept, &of.against, &plain(&of.concept), &of.against],
    );
    let mut lab = LabState {
        dictionary: Some(slug.to_owned()),
        ..LabState::default()
    };
    if let Some(best) = best(of) {
        lab.colour = Colour::latent(best.latent);
        lab.steered = LaneForm::adding(vec![best.latent], 0.0);
        let state = LatentState {
            prompt: of.prompt.clone(),
            ..LatentState::default()
        };
        let missed = of.met() == Some(false);
        let asked = of.bar.map(|bar| format!("asked for: {}", bar_words(bar)));
        fill(
            &mut out,
            "<a href=\"{}\" class=\"open\"><span class=\"mark {}\"><i aria-hidden=\"true\"></i><span class=\"unseen\">{}</span></span>\
             <span class=\"mono\">{}</span></a><span class=\"small\"><span class=\"meter\" aria-hidden=\"true\"><b data-style=\"width:{}\"></b></span> \
             <span class=\"{}\" title=\"{}\">AUROC {}</span> <span class=\"quiet\">{}</span></span>",
            &[
                &state.href(&latent_path(slug, best.latent)),
                class_style(best.class),
                best.class.as_str(),
                &best.latent.to_string(),
                &share(2.0 * best.auroc - 1.0),
                if missed { "fails" } else { "" },
                &asked.unwrap_or_default(),
                &fixed(best.auroc, 3),
                &spread(of),
            ],
        );
    }
    if let Some(prompt) = &of.prompt {
        lab.prompt = PromptForm::user(prompt);
        let template = "<a href=\"{}\" class=\"try\">{}</a>";
        fill(&mut out, template, &[&lab.href("lab"), prompt]);
    }
    out.push_str("</li>");
    out
}

/// The concept's AUROC in the dictionaries from other seeds.
fn spread(of: &ConceptTruth) -> String {
    let best = of.seeds.iter().filter_map(|seed| seed.above_cut);
    let (low, high) = best.fold((f64::INFINITY, 0.0), |(low, high), latent| {
        (latent.auroc.min(low), latent.auroc.max(high))
    });
    if high > 0.0 {
        let seeds = of.seeds.len();
        format!(
            "{}–{} with {seeds} other seeds",
            fixed(low, 3),
            fixed(high, 3)
        )
    } else {
        String::new()
    }
}

/// The same numbers as a table, with the best latent of any class.
fn table(truth: &GroundTruth) -> String {
    let mut out = String::from(
        "<table class=\"rows small\"><thead><tr><th scope=\"col\" class=\"l\">Concept</th><th scope=\"col\" class=\"l\">told from</th>\
         <th scope=\"col\">prompts with / without</th><th scope=\"col\" class=\"l\">best of</th><th scope=\"col\">latent</th>\
         <th scope=\"col\">Δ_norm</th><th scope=\"col\">AUROC</th><th scope=\"col\">precision</th><th scope=\"col\">recall</th>\
         <th scope=\"col\">other seeds</th><th scope=\"col\" class=\"l\">asked for</th></tr></thead>",
    );
    for of in &truth.concepts {
        for above in [true, false] {
            let (words, best) = if above {
                ("above the cut", &of.above_cut)
            } else {
                ("any class", &of.any_class)
            };
            let Some(best) = best else { continue };
            let seed = |seed: &SeedScore| {
                let latent = if above {
                    seed.above_cut
                } else {
                    seed.any_class
                };
                fixed_or_dash(latent.map(|latent| latent.auroc), 3)
            };
            let seeds: Vec<String> = of.seeds.iter().map(seed).collect();
            fill(
                &mut out,
                "<tr><th scope=\"row\" class=\"l\">{}</th><td class=\"l\">{}</td><td>{} / {}</td><td class=\"l\">{}</td><td>{}</td><td>{}</td>\
                 <td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"l\">{}</td></tr>",
                &[
                    &plain(&of.concept),
                    &of.against,
                    &count(of.positives),
                    &count(of.negatives),
                    words,
                    &best.latent.to_string(),
                    &fixed(best.delta_norm, 3),
                    &fixed(best.auroc, 3),
                    &percent_or_dash(best.precision),
                    &percent(best.recall),
                    &seeds.join(", "),
                    &asked(of.bar.filter(|_| above), of.met()),
                ],
            );
        }
    }
    out.push_str("</table>");
    out
}
