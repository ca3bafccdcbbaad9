//! Latents against ground truth.

use api::{ConceptScore, StudyInfo};
use leptos::prelude::*;

use crate::{
    display::numbers::{count, fixed},
    parts::{
        badge::{class_cell, meter},
        card::Card,
    },
    state::place::latent_path,
};

/// How well latents tell concepts apart, or nothing where the study has no ground truth.
pub(super) fn table(study: &StudyInfo) -> AnyView {
    let scored = study
        .dictionaries
        .iter()
        .flat_map(|d| d.concepts.iter().map(|c| row(&d.slug, c)));
    let rows: Vec<AnyView> = scored.collect();
    if rows.is_empty() {
        return ().into_any();
    }
    let body = view! {
        <p class="pad small quiet">"How well one latent’s largest v tells a concept’s held-out prompts from others (AUROC; 0.5 is chance)."</p>
        <div class="scroll tall" tabindex="0" role="region" aria-label="Scores, scrolling">
            <table class="rows">
                <thead>
                    <tr>
                        <th scope="col">"Concept"</th><th scope="col" class="l">"told from"</th><th scope="col" class="l">"Dictionary"</th>
                        <th scope="col">"Latent"</th><th scope="col" class="l">"Class"</th><th scope="col">"Δ_norm"</th>
                        <th scope="col">"AUROC"</th><th scope="col">"Prompts with / without"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    };
    Card::new("concepts", "Against ground truth")
        .flush()
        .holding(body.into_any())
}

fn row(slug: &str, score: &ConceptScore) -> AnyView {
    view! {
        <tr>
            <th scope="row">{score.concept.clone()}</th>
            <td class="l">{score.against.clone()}</td>
            <td class="l">{slug.to_owned()}</td>
            <td><a href=latent_path(slug, score.latent)>{score.latent}</a></td>
            <td class="l">{class_cell(score.class)}</td>
            <td>{fixed(score.delta_norm, 3)}</td>
            <td>{meter((score.auroc - 0.5) * 2.0)}" "{fixed(score.auroc, 3)}</td>
            <td>{count(score.positives)}" / "{count(score.negatives)}</td>
        </tr>
    }
    .into_any()
}
