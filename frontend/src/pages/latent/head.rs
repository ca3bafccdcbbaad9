//! Name, class, verdict and the strip of numbers.

use api::{Class, LatentDetail};
use leptos::prelude::*;

use super::Page;
use crate::{
    display::{
        decimal,
        numbers::{count, fixed_or_dash, percent_or_dash, short, short_or_dash},
        verdict::{class_sentence, class_style, verdict_meaning, verdict_name, verdict_rule},
    },
    explorer::explorer,
    parts::{
        badge::{class_badge, stat},
        share::share,
        symbols::symbol,
    },
    state::{UrlState, place::latents_path, triage::TriageState},
};

/// Title, class, verdict, and what can be done.
pub(super) fn title(page: Page, detail: &LatentDetail) -> AnyView {
    let row = &detail.row;
    let slug = page.slug.get();
    let label = row
        .label
        .clone()
        .map(|label| view! { <span class="label">{label}</span> }.into_any());
    let dead = (row.dead == Some(true)).then(|| {
        let tokens = row
            .tokens
            .map(|n| format!(" in {} tokens", count(n)))
            .unwrap_or_default();
        view! { <span class="chip">{format!("dead: never active{tokens}")}</span> }.into_any()
    });
    view! {
        <div class="title">
            <div>
                <p class="small quiet"><a href=latents_path(&slug)>{slug.clone()}</a>{selection(page)}</p>
                <h1><span class="mono" data-testid="latent-id">{row.id}</span>{label}</h1>
                <div class="chips">
                    {class_badge(row.class)}
                    <span class="small quiet" data-testid="class-rule">{class_sentence(row, &explorer().cuts())}</span>
                    {dead}
                </div>
                {verdict(&why_none(page), detail)}
            </div>
            <div class="actions">
                {neighbour(page.beside(false), "Previous latent", "←", "k")}
                {neighbour(page.beside(true), "Next latent", "→", "j")}
                <a class="button" data-testid="steer" href=move || page.lab()>"Steer with this"</a>
                {share()}
            </div>
        </div>
    }
    .into_any()
}

/// The way back to the table that led here, and this latent's place in it.
fn selection(page: Page) -> AnyView {
    let (Some(from), Some((at, rows))) = (page.state.get().from, page.selected()) else {
        return " / latent".into_any();
    };
    let table = TriageState::read(&from);
    let before = table.row + at as u64;
    let words = format!("{} of {} selected", count(before + 1), count(rows.total));
    let href = table.href(&latents_path(&page.slug.get()));
    view! { " / "<a href=href data-testid="selection">{words}</a> }.into_any()
}

/// Why a latent of this dictionary may have no verdict.
fn why_none(page: Page) -> String {
    let dictionary = explorer().dictionary(Some(&page.slug.read()));
    dictionary
        .and_then(|d| d.analysis.reason)
        .unwrap_or_default()
}

/// The verdict with its rule, or why there is none.
fn verdict(reason: &str, detail: &LatentDetail) -> AnyView {
    let row = &detail.row;
    match row.verdict {
        Some(verdict) => view! {
            <p class="verdict-line" data-testid="verdict">
                <b>{verdict_name(verdict)}</b>": "{verdict_rule(row)}". "
                <span class="quiet">{verdict_meaning(verdict)}</span>
            </p>
        }
        .into_any(),
        None if row.class == Class::ChatOnly => {
            view! { <p class="quiet verdict-line">{format!("No verdict: Latent Scaling says nothing of this latent. {reason}")}</p> }.into_any()
        }
        None => ().into_any(),
    }
}

fn neighbour(
    to: Option<String>,
    name: &'static str,
    sign: &'static str,
    key: &'static str,
) -> AnyView {
    let none = to.is_none().then_some("true");
    view! { <a class="button icon" aria-label=name title=format!("{name} ({key})") href=to aria-disabled=none>{sign}</a> }.into_any()
}

/// The numbers one looks for first.
pub(super) fn numbers(_: Page, detail: &LatentDetail) -> AnyView {
    let row = &detail.row;
    let both = row.norm_base + row.norm_chat;
    let share = if both > 0.0 {
        row.norm_base / both
    } else {
        0.5
    };
    let active = match (row.active_tokens, row.tokens) {
        (Some(active), Some(tokens)) => {
            format!("of tokens: {} of {}", count(active), count(tokens))
        }
        _ => "of tokens".into(),
    };
    let norms = view! {
        <span class="of-base">{short(row.norm_base)}</span><span class="faint">" / "</span><span class="of-chat">{short(row.norm_chat)}</span>
        <span class="balance" aria-hidden="true"><i style=("width", decimal::share(share))></i></span>
    };
    let ratio =
        |name: &'static str, words: &'static str| view! { {symbol(name)}{words} }.into_any();
    let largest = format!("largest v; mean {}", short_or_dash(row.mean_activation));
    view! {
        <section class=format!("card numbers {}", class_style(row.class)) aria-label="Numbers">
            {stat(fixed_or_dash(row.delta_norm, 3).into_any(), ratio("Δ_norm", " (1 = chat-only)"))}
            {stat(norms.into_any(), "‖d_base‖ / ‖d_chat‖".into_any())}
            {stat(fixed_or_dash(row.decoder_cosine, 3).into_any(), "cosine of the two".into_any())}
            {stat(fixed_or_dash(row.nu_epsilon, 3).into_any(), ratio("ν^ε", ", on the error"))}
            {stat(fixed_or_dash(row.nu_r, 3).into_any(), ratio("ν^r", ", on the reconstruction"))}
            {stat(percent_or_dash(row.frequency).into_any(), active.into_any())}
            {stat(percent_or_dash(row.template_share).into_any(), "of these are template tokens".into_any())}
            {stat(short_or_dash(row.max_activation).into_any(), largest.into_any())}
        </section>
    }
    .into_any()
}
