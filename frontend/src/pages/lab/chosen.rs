//! What is known at the chosen token: the strongest latents, and how both models would go on.

use api::{NextToken, TopLatent};
use leptos::prelude::*;

use super::Page;
use crate::{
    display::{
        numbers::{fixed, percent, short},
        tokens::{glyph, quoted},
    },
    nav::{History, latent_path},
    parts::{badge::class_mark, states::empty},
    state::{edit::EditKind, lab::Colour},
};

/// Three lists.
#[component]
pub(super) fn Chosen(page: Page, chosen: Memo<Option<usize>>) -> impl IntoView {
    move || {
        let answer = page.reading.get()?;
        let at = chosen.get()?;
        let token = answer.tokens.get(at)?;
        let top = answer.top.get(at).cloned().unwrap_or_default();
        let next = answer.next.get(at)?;
        let kl = answer.kl_chat_base.get(at).copied();
        let slug = page.slug()?;
        let latents = if top.is_empty() {
            empty("No latent is active here.")
        } else {
            let largest = top.first().map_or(1.0, |t| t.value);
            let rows = top
                .iter()
                .map(|t| latent(page, &slug, t, largest))
                .collect_view();
            view! { <ol class="tops">{rows}</ol> }.into_any()
        };
        let where_ = format!("At token {at}, {}", quoted(&token.text));
        let kl = kl.map(|kl| format!("KL(chat ‖ base) {} nats", fixed(kl.into(), 3)));
        Some(view! {
            <div class="chosen" data-testid="chosen" data-token=at>
                <section aria-labelledby="top-title"><h3 id="top-title">{where_}": strongest latents"</h3>{latents}</section>
                <section aria-labelledby="next-base"><h3 id="next-base"><span class="tag base"><i aria-hidden="true"></i>"base"</span>" would go on"</h3>{next_list("base", &next.base)}</section>
                <section aria-labelledby="next-chat"><h3 id="next-chat"><span class="tag chat"><i aria-hidden="true"></i>"chat"</span>" would go on"<span class="aside small quiet">{kl}</span></h3>{next_list("chat", &next.chat)}</section>
            </div>
        })
    }
}

fn latent(page: Page, slug: &str, top: &TopLatent, largest: f32) -> AnyView {
    let id = top.id;
    let row = page.names.row(id);
    let label = row.as_ref().and_then(|row| row.label.clone());
    let width = format!("{:.1}%", 100.0 * top.value / largest.max(f32::MIN_POSITIVE));
    let colour = move |_| page.keep(History::Replace, |state| state.colour = Colour::Latent(id));
    let steer = move |_| {
        page.keep_lanes(|state| {
            if let Some(edit) = state
                .steered
                .edits
                .iter_mut()
                .find(|e| e.kind != EditKind::Take)
            {
                edit.latents = vec![id];
            }
        });
    };
    view! {
        <li data-testid="top-latent" data-latent=id>
            <a class="open" href=latent_path(slug, id)>
                {row.map(|row| class_mark(row.class))}
                <span class="mono">{id}</span>
                {label.map(|label| view! { <span class="label">{label}</span> })}
            </a>
            <span class="meter" aria-hidden="true"><b style=("width", width)></b></span>
            <span class="num">{short(top.value.into())}</span>
            <button type="button" class="link small" aria-label=format!("Colour the tokens by latent {id}") on:click=colour>"colour"</button>
            <button type="button" class="link small" aria-label=format!("Steer with latent {id}") on:click=steer>"steer"</button>
        </li>
    }
    .into_any()
}

fn next_list(tone: &'static str, tokens: &[NextToken]) -> AnyView {
    let line = |token: &NextToken| {
        let p = f64::from(token.p);
        view! {
            <li>
                <span class="bar-behind" style=("--v", format!("{:.1}%", p * 100.0))>{glyph(&token.text)}</span>
                <span class="num">{percent(p)}</span>
            </li>
        }
    };
    let lines = tokens.iter().map(line).collect_view();
    view! { <div class=format!("lens one {tone}")><ol>{lines}</ol></div> }.into_any()
}
