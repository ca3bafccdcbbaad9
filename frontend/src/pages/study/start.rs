//! Where to begin: a prompt, or a latent that has a name.

use api::{Class, ConceptScore, DictionaryInfo, LatentRow, LatentsPage, StudyInfo};
use leptos::prelude::*;

use crate::parts::signal::RwSignal;
use crate::{
    display::{
        decimal::shortest,
        numbers::{fixed, fixed_or_dash, short_or_dash},
        scale::largest_first,
    },
    explorer::explorer,
    nav::goto,
    net::{load::use_load, request::Request},
    parts::{
        badge::class_mark,
        card::Card,
        prompt_box::{PromptBox, models_note, suggestions},
        states::{empty, loaded},
    },
    state::{
        UrlState,
        edit::LaneForm,
        lab::{Colour, LabState, PromptForm},
        place::{latent_path, latents_path},
    },
};

/// Labelled latents that are named here.
const NAMED: usize = 8;

/// The prompt card and the labelled latents.
pub(super) fn cards(study: &StudyInfo) -> AnyView {
    let first = study.dictionaries.first();
    let latents = first.map(labelled);
    view! { <div class="cols home">{prompt(study)}{latents}</div> }.into_any()
}

fn prompt(study: &StudyInfo) -> AnyView {
    let text = RwSignal::new(study.prompts.first().cloned().unwrap_or_default());
    let raw = RwSignal::new(false);
    let first = study.dictionaries.first();
    // The first concept's latent colours the first prompt, so that there is something to see.
    let best = first.and_then(|d| d.concepts.iter().find(|c| c.class == Class::ChatOnly));
    let best = best.map(|c| c.latent);
    let dictionary = StoredValue::new(first.map(|d| d.slug.clone()));
    let read = move || {
        let prompt = text.get_untracked();
        let state = LabState {
            dictionary: dictionary.get_value(),
            prompt: if raw.get_untracked() {
                PromptForm::Raw(prompt)
            } else {
                PromptForm::user(&prompt)
            },
            colour: best.map_or(Colour::Kl, Colour::latent),
            steered: LaneForm::adding(best.into_iter().collect(), 0.0),
            ..LabState::default()
        };
        goto(&state.href("lab"));
    };
    let form = PromptBox {
        text,
        raw,
        action: "Read",
        label: "Prompt",
    }
    .form(Signal::stored(false), read);
    let body = view! { {models_note()}{form}{suggestions(&study.prompts, move |prompt| text.set(prompt))} };
    Card::new("prompt", "Read a prompt with both models").holding(body.into_any())
}

/// Latents with a label: chat-only ones in the order of the study's concepts, then the others.
fn labelled(dictionary: &DictionaryInfo) -> AnyView {
    let slug = dictionary.slug.clone();
    let concepts = dictionary.concepts.clone();
    let asked = slug.clone();
    let page =
        use_load::<LatentsPage>(move || Some(Request::latents(&asked, "sort=label&limit=200")));
    let cuts = explorer().cuts();
    let body = loaded(page, 5, move |page| {
        let rows: Vec<&LatentRow> = page.rows.iter().filter(|row| row.label.is_some()).collect();
        if rows.is_empty() {
            let all = format!(
                "{}?class=chat-only&sort=-max_activation",
                latents_path(&slug)
            );
            return view! {
                {empty("No latent of this study has a label.")}
                <p><a href=all>"All chat-only latents, strongest first"</a></p>
            }
            .into_any();
        }
        let score = |row: &LatentRow| {
            let named =
                |c: &ConceptScore| c.latent == row.id && row.label.as_ref() == Some(&c.concept);
            concepts.iter().position(named)
        };
        let key = |row: &&LatentRow| {
            let chat_only = if row.class == Class::ChatOnly {
                1e6
            } else {
                0.0
            };
            chat_only - score(row).map_or(1e3, |at| at as f64)
        };
        let keys: Vec<f64> = rows.iter().map(key).collect();
        let shown = largest_first(&keys)
            .into_iter()
            .take(NAMED)
            .filter_map(|i| rows.get(i));
        let list = shown
            .map(|row| entry(&slug, row, score(row).and_then(|at| concepts.get(at))))
            .collect_view();
        let note = format!(
            "Labels come from prompts with known truth. Chat-only is Δ_norm ≥ {} here.",
            shortest(cuts.chat_only)
        );
        view! { <ul class="latents-list">{list}</ul><p class="small quiet">{note}</p> }.into_any()
    });
    Card::new("labelled", "Latents to start from").holding(body)
}

fn entry(slug: &str, row: &LatentRow, score: Option<&ConceptScore>) -> AnyView {
    let last = match score {
        Some(score) => format!("AUROC {}", fixed(score.auroc, 3)),
        None => format!("max {}", short_or_dash(row.max_activation)),
    };
    let numbers = format!("Δ_norm {} · {last}", fixed_or_dash(row.delta_norm, 2));
    view! {
        <li>
            <a href=latent_path(slug, row.id)>
                {class_mark(row.class)}
                <span class="what"><span>{row.label.clone()}</span><span class="faint mono">{row.id}</span></span>
                <span class="num small quiet">{numbers}</span>
            </a>
        </li>
    }
    .into_any()
}
