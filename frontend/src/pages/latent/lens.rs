//! The logit lens of both decoder rows.

use std::sync::Arc;

use api::{LatentDetail, LensToken, LogitLens};
use leptos::prelude::*;

use crate::{
    display::{numbers::fixed, tokens::glyph},
    parts::states::empty,
};

const SHOWN: usize = 8;

/// Base beside chat, on one scale.
pub(super) fn card(detail: &Arc<LatentDetail>) -> AnyView {
    let body = match (&detail.lens_base, &detail.lens_chat) {
        (Some(base), Some(chat)) => {
            let largest = |lens: &LogitLens| {
                lens.top
                    .iter()
                    .chain(&lens.bottom)
                    .map(|t| t.value.abs())
                    .fold(0.0, f64::max)
            };
            let scale = largest(base).max(largest(chat));
            view! {
                <div class="lens">
                    {side("base", "base decoder", base, scale)}
                    {side("chat", "chat decoder", chat, scale)}
                </div>
                <p class="small quiet">"Direct effect of each decoder row on a token’s logit, through its own model’s unembedding; both sides share one scale."</p>
            }
            .into_any()
        }
        _ => {
            empty("The logit lens comes with the analysis, which has not run for this dictionary.")
        }
    };
    view! {
        <section class="card" aria-labelledby="lens-title" data-testid="lens">
            <header><h2 id="lens-title">"What it writes"</h2><span class="aside small quiet">"logit lens"</span></header>
            {body}
        </section>
    }
    .into_any()
}

fn side(tone: &'static str, name: &'static str, lens: &LogitLens, scale: f64) -> AnyView {
    view! {
        <div class=tone>
            <h3><span class=format!("tag {tone}")><i aria-hidden="true"></i>{name}</span></h3>
            <h4>"promotes"</h4>
            {list(&lens.top, scale)}
            <h4>"suppresses"</h4>
            {list(&lens.bottom, scale)}
        </div>
    }
    .into_any()
}

fn list(tokens: &[LensToken], scale: f64) -> AnyView {
    let line = |token: &LensToken| {
        let share = if scale > 0.0 {
            100.0 * token.value.abs() / scale
        } else {
            0.0
        };
        view! {
            <li>
                <span class="bar-behind" style=("--v", format!("{share:.1}%"))>{glyph(&token.text)}</span>
                <span class="num">{fixed(token.value, 2)}</span>
            </li>
        }
    };
    let lines = tokens.iter().take(SHOWN).map(line).collect_view();
    view! { <ol>{lines}</ol> }.into_any()
}
