//! Where to begin: a prompt, or a latent that has a name.

use std::sync::Arc;

use api::{Class, LatentRow, LatentsPage, StudyInfo};
use leptos::prelude::*;

use crate::{
    display::{
        numbers::{fixed_or_dash, short_or_dash},
        tokens::glyph,
    },
    explorer::explorer,
    nav::{latent_path, use_goto},
    net::{load::use_load, request::Request},
    parts::{
        badge::class_mark,
        prompt_box::{ModelsNote, PromptBox},
        states::{empty, loaded},
    },
    state::{
        UrlState,
        edit::LaneForm,
        lab::{Colour, LabState, PromptForm},
    },
};

/// The prompt card and the labelled latents.
#[component]
pub(crate) fn Start(study: Arc<StudyInfo>) -> impl IntoView {
    let text = RwSignal::new(study.prompts.first().cloned().unwrap_or_default());
    let raw = RwSignal::new(false);
    let goto = use_goto();
    let first = study.dictionaries.first().map(|d| d.slug.clone());
    // The latent that tells a concept best colours the first prompt, so that there is something to see.
    let best = study.dictionaries.first().and_then(|d| {
        let named = d.concepts.iter().filter(|c| c.class == Class::ChatOnly);
        named
            .max_by(|a, b| a.auroc.total_cmp(&b.auroc))
            .map(|c| c.latent)
    });
    let dictionary = first.clone();
    let read = Callback::new(move |()| {
        let prompt = text.get_untracked();
        let state = LabState {
            dictionary: dictionary.clone(),
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
    });
    let examples = study
        .prompts
        .iter()
        .map(|prompt| {
            let (shown, prompt) = (glyph(prompt), prompt.clone());
            view! { <button type="button" class="suggestion" on:click=move |_| text.set(prompt.clone())>{shown}</button> }
        })
        .collect_view();
    let examples = (!study.prompts.is_empty()).then(
        || view! { <div class="suggestions" aria-label="Prompts to start from">{examples}</div> },
    );
    view! {
        <div class="cols home">
            <section class="card" aria-labelledby="prompt-title">
                <header><h2 id="prompt-title">"Read a prompt with both models"</h2></header>
                <ModelsNote />
                <PromptBox text raw action="Read" label="Prompt" submit=read busy=Signal::from(false) />
                {examples}
            </section>
            <section class="card" aria-labelledby="labelled-title">
                <header><h2 id="labelled-title">"Latents to start from"</h2></header>
                {first.map(|slug| view! { <Labelled slug /> })}
            </section>
        </div>
    }
}

/// Latents with a label, chat-only ones first.
#[component]
fn Labelled(slug: String) -> impl IntoView {
    let dictionary = slug.clone();
    let page =
        use_load::<LatentsPage>(move || Some(Request::latents(&dictionary, "sort=label&limit=60")));
    let cuts = explorer().cuts();
    loaded(page, 5, move |page| {
        let mut rows: Vec<&LatentRow> =
            page.rows.iter().filter(|row| row.label.is_some()).collect();
        rows.sort_by(|a, b| {
            b.delta_norm
                .unwrap_or(0.0)
                .total_cmp(&a.delta_norm.unwrap_or(0.0))
        });
        if rows.is_empty() {
            let all = format!(
                "{}?class=chat-only&sort=-max_activation",
                crate::nav::latents_path(&slug)
            );
            return view! {
                {empty("No latent of this study has a label.")}
                <p><a href=all>"All chat-only latents, strongest first"</a></p>
            }
            .into_any();
        }
        let entry = |row: &&LatentRow| {
            view! {
                <li>
                    <a href=latent_path(&slug, row.id)>
                        {class_mark(row.class)}
                        <span class="what">{row.label.clone()} <span class="faint mono">{row.id}</span></span>
                        <span class="num small quiet">"Δ_norm " {fixed_or_dash(row.delta_norm, 2)} " · max " {short_or_dash(row.max_activation)}</span>
                    </a>
                </li>
            }
        };
        let list = rows.iter().take(8).map(entry).collect_view();
        let note = format!(
            "Labels come from prompts with known truth. Chat-only is Δ_norm ≥ {} here.",
            cuts.chat_only
        );
        view! { <ul class="latents-list">{list}</ul><p class="small quiet">{note}</p> }.into_any()
    })
}
