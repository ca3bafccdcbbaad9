//! The logit lens of both decoder rows.

use api::{LatentDetail, LensToken, LogitLens};
use leptos::prelude::*;

use crate::{
    display::{numbers::fixed, tokens::glyph},
    net::request::Request,
    parts::{
        badge::{bar_line, tag},
        card::Card,
        states::empty,
    },
};

/// Tokens shown of each end.
const SHOWN: usize = 8;

/// Base beside chat, on one scale.
pub(super) fn card(slug: &str, detail: &LatentDetail) -> AnyView {
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
    let id = detail.row.id;
    let rows = Request::decoder(slug, id).path;
    let body = view! {
        {body}
        <p class="small"><a href=rows download=format!("latent-{id}.json") data-testid="decoder">"Both decoder rows as JSON"</a></p>
    };
    Card::new("lens", "What it writes")
        .remark("logit lens")
        .holding(body.into_any())
}

fn side(tone: &'static str, name: &'static str, lens: &LogitLens, scale: f64) -> AnyView {
    view! {
        <div class=tone>
            <h3>{tag(tone, name)}</h3>
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
            token.value.abs() / scale
        } else {
            0.0
        };
        bar_line(glyph(&token.text), share, fixed(token.value, 2))
    };
    let lines = tokens.iter().take(SHOWN).map(line).collect_view();
    view! { <ol>{lines}</ol> }.into_any()
}
