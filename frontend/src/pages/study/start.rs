//! Where to begin: a prompt, or a latent that has a name.

use api::{Class, LatentRow, LatentsPage, StudyInfo};
use leptos::prelude::*;

use crate::{
    display::{
        numbers::{fixed_or_dash, short_or_dash},
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
    let latents = first.map(|d| labelled(d.slug.clone()));
    view! { <div class="cols home">{prompt(study)}{latents}</div> }.into_any()
}

fn prompt(study: &StudyInfo) -> AnyView {
    let text = RwSignal::new(study.prompts.first().cloned().unwrap_or_default());
    let raw = RwSignal::new(false);
    let first = study.dictionaries.first();
    // The latent that tells a concept best colours the first prompt, so that there is something to see.
    let named = first
        .into_iter()
        .flat_map(|d| &d.concepts)
        .filter(|c| c.class == Class::ChatOnly);
    let best = named
        .max_by(|a, b| a.auroc.total_cmp(&b.auroc))
        .map(|c| c.latent);
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
            colour: best.map_or(Colour::Kl, Colour::Latent),
            steered: LaneForm::adding(best.into_iter().collect(), 0.0),
            ..LabState::default()
        };
        goto(&state.href("/lab"));
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

/// Latents with a label, those that the tuning added first.
fn labelled(slug: String) -> AnyView {
    let dictionary = slug.clone();
    let page =
        use_load::<LatentsPage>(move || Some(Request::latents(&dictionary, "sort=label&limit=60")));
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
        let keys: Vec<f64> = rows
            .iter()
            .map(|row| row.delta_norm.unwrap_or(0.0))
            .collect();
        let shown = largest_first(&keys)
            .into_iter()
            .take(NAMED)
            .filter_map(|i| rows.get(i));
        let list = shown.map(|row| entry(&slug, row)).collect_view();
        let note = format!(
            "Labels come from prompts with known truth. Chat-only is Δ_norm ≥ {} here.",
            cuts.chat_only
        );
        view! { <ul class="latents-list">{list}</ul><p class="small quiet">{note}</p> }.into_any()
    });
    Card::new("labelled", "Latents to start from").holding(body)
}

fn entry(slug: &str, row: &LatentRow) -> AnyView {
    let numbers = format!(
        "Δ_norm {} · max {}",
        fixed_or_dash(row.delta_norm, 2),
        short_or_dash(row.max_activation)
    );
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
