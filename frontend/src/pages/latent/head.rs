//! Name, class, verdict and the strip of numbers.

use std::sync::Arc;

use api::{Class, LatentDetail};
use leptos::prelude::*;

use super::Page;
use crate::{
    display::{
        numbers::{count, fixed_or_dash, percent_or_dash, short, short_or_dash},
        verdict::{class_sentence, class_style, verdict_meaning, verdict_name, verdict_rule},
    },
    explorer::explorer,
    nav::{latent_path, latents_path},
    parts::{badge::class_badge, share::Share},
};

/// Title, class, verdict, and what can be done.
pub(super) fn title(page: Page, detail: &Arc<LatentDetail>) -> AnyView {
    let explorer = explorer();
    let row = &detail.row;
    let slug = page.slug.get();
    let all = explorer.dictionary(Some(&slug)).map_or(0, |d| d.latents);
    let neighbour = |to: Option<u32>, name: &'static str, sign: &'static str, key: &'static str| {
        let to = to.filter(|to| (*to as usize) < all);
        view! {
            <a class="button icon" aria-label=name title=format!("{name} ({key})") href=to.map(|to| latent_path(&slug, to)) aria-disabled=to.is_none().then_some("true")>
                {sign}
            </a>
        }
    };
    let verdict = row.verdict.map(|verdict| {
        view! {
            <p class="verdict-line" data-testid="verdict">
                <b>{verdict_name(verdict)}</b>
                " "
                <span class="num-inline">{verdict_rule(row)}</span>
                ". "
                <span class="quiet">{verdict_meaning(verdict)}</span>
            </p>
        }
    });
    let no_verdict = (row.verdict.is_none() && row.class == Class::ChatOnly).then(|| {
        let why = explorer.dictionary(Some(&slug)).and_then(|d| d.analysis.reason);
        view! { <p class="quiet verdict-line">"No verdict yet: Latent Scaling has not run for this latent. " {why}</p> }
    });
    let dead = (row.dead == Some(true)).then(|| {
        let tokens = row
            .tokens
            .map(|n| format!(" in {} tokens", count(n)))
            .unwrap_or_default();
        view! { <span class="chip">{format!("dead: never active{tokens}")}</span> }
    });
    view! {
        <div class="title">
            <div>
                <p class="small quiet"><a href=latents_path(&slug)>{slug.clone()}</a>" / latent"</p>
                <h1>
                    <span class="mono" data-testid="latent-id">{row.id}</span>
                    {row.label.clone().map(|label| view! { <span class="label">{label}</span> })}
                </h1>
                <div class="chips">
                    {class_badge(row.class)}
                    <span class="small quiet" data-testid="class-rule">{class_sentence(row, &explorer.cuts())}</span>
                    {dead}
                </div>
                {verdict}
                {no_verdict}
            </div>
            <div class="actions">
                {neighbour(row.id.checked_sub(1), "Previous latent", "←", "k")}
                {neighbour(row.id.checked_add(1), "Next latent", "→", "j")}
                <a class="button" data-testid="steer" href=move || page.lab()>"Steer with this"</a>
                <Share />
            </div>
        </div>
    }
    .into_any()
}

/// The numbers one looks for first.
pub(super) fn numbers(_: Page, detail: &Arc<LatentDetail>) -> AnyView {
    let row = &detail.row;
    let both = row.norm_base + row.norm_chat;
    let share = if both > 0.0 {
        100.0 * row.norm_base / both
    } else {
        50.0
    };
    let active = match (row.active_tokens, row.tokens) {
        (Some(active), Some(tokens)) => {
            format!("of tokens: {} of {}", count(active), count(tokens))
        }
        _ => "of tokens".into(),
    };
    view! {
        <section class=format!("card numbers {}", class_style(row.class)) aria-label="Numbers">
            <div class="stat">
                <b>{fixed_or_dash(row.delta_norm, 3)}</b>
                <span>"Δ_norm (1 = chat-only)"</span>
            </div>
            <div class="stat wide">
                <b><span class="of-base">{short(row.norm_base)}</span> <span class="faint">" / "</span> <span class="of-chat">{short(row.norm_chat)}</span></b>
                <span class="balance" aria-hidden="true"><i style=("width", format!("{share:.1}%"))></i></span>
                <span>"‖d_base‖ / ‖d_chat‖"</span>
            </div>
            <div class="stat"><b>{fixed_or_dash(row.decoder_cosine, 3)}</b><span>"cosine of the two"</span></div>
            <div class="stat"><b>{fixed_or_dash(row.nu_epsilon, 3)}</b><span>"ν^ε, error ratio"</span></div>
            <div class="stat"><b>{fixed_or_dash(row.nu_r, 3)}</b><span>"ν^r, reconstruction ratio"</span></div>
            <div class="stat"><b>{percent_or_dash(row.frequency)}</b><span>{active}</span></div>
            <div class="stat"><b>{percent_or_dash(row.template_share)}</b><span>"of its tokens are template"</span></div>
            <div class="stat"><b>{short_or_dash(row.max_activation)}</b><span>"largest v; mean " {short_or_dash(row.mean_activation)}</span></div>
        </section>
    }
    .into_any()
}
