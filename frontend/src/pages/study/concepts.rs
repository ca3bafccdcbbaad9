//! Latents against ground truth.

use api::{ConceptScore, StudyInfo};
use leptos::prelude::*;

use crate::{
    display::numbers::{count, fixed},
    nav::latent_path,
    parts::badge::class_cell,
};

/// How well latents tell concepts apart, or nothing where the study has no ground truth.
pub(crate) fn table(study: &StudyInfo) -> AnyView {
    let scored: Vec<(&str, &ConceptScore)> = study
        .dictionaries
        .iter()
        .flat_map(|d| d.concepts.iter().map(|c| (d.slug.as_str(), c)))
        .collect();
    if scored.is_empty() {
        return ().into_any();
    }
    let rows = scored
        .iter()
        .map(|(slug, score)| row(slug, score))
        .collect_view();
    view! {
        <section class="card flush" aria-labelledby="concepts-title">
            <header>
                <h2 id="concepts-title">"Against ground truth"</h2>
                <span class="small quiet">"how well one latent’s largest v tells a concept’s held-out prompts from others (AUROC; 0.5 is chance)"</span>
            </header>
            <div class="scroll">
                <table class="rows" data-testid="concepts">
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
        </section>
    }
    .into_any()
}

fn row(slug: &str, score: &ConceptScore) -> AnyView {
    let width = format!("{:.1}%", ((score.auroc - 0.5) * 200.0).clamp(0.0, 100.0));
    view! {
        <tr>
            <th scope="row">{score.concept.clone()}</th>
            <td class="l">{score.against.clone()}</td>
            <td class="l">{slug.to_owned()}</td>
            <td><a href=latent_path(slug, score.latent)>{score.latent}</a></td>
            <td class="l">{class_cell(score.class)}</td>
            <td>{fixed(score.delta_norm, 3)}</td>
            <td><span class="meter" aria-hidden="true"><b style=("width", width)></b></span>" "{fixed(score.auroc, 3)}</td>
            <td>{count(score.positives)} " / " {count(score.negatives)}</td>
        </tr>
    }
    .into_any()
}
