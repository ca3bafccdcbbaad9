//! The latents that explain the difference between the models at the chosen token.

use api::{ExplainRequest, MAX_EXPLAINED};
use leptos::prelude::*;

use super::Page;
use crate::parts::signal::Memo;
use crate::{
    display::{decimal, markup::fill, numbers::fixed},
    nav::History,
    net::{divergences::read_explanation, load::use_body, request::Request},
    parts::{
        field::Button,
        live::live,
        states::{empty, loaded},
    },
    state::place::latent_path,
};

/// A button, and what it opens.
pub(super) fn explanation(page: Page, chosen: Memo<Option<usize>>) -> AnyView {
    let answer = use_body(
        move || {
            let state = page.url.read();
            if !state.explain || !page.reading.is_there() {
                return None;
            }
            Some(Request::explain(&ExplainRequest {
                dictionary: page.slug()?,
                prompt: state.prompt.to_api()?,
                token: chosen.get()?,
                limit: MAX_EXPLAINED,
            }))
        },
        read_explanation,
    );
    let button = Button {
        test: Some("explain"),
        ..Button::link("which latents make the difference here?")
    };
    let toggle = move || page.keep(History::Replace, |state| state.explain = !state.explain);
    let list = live(move || {
        let open = page.url.read().explain && chosen.get().is_some();
        open.then(|| loaded(answer, 4, move |answer| list(page, &answer)))
    });
    view! { <div class="explain">{button.doing(toggle)}{list}</div> }.into_any()
}

fn list(page: Page, answer: &[Vec<f32>]) -> AnyView {
    let Some(([before, all, active], latents)) = answer
        .split_first()
        .and_then(|(head, rest)| Some((<[f32; 3]>::try_from(head.as_slice()).ok()?, rest)))
    else {
        return ().into_any();
    };
    if latents.is_empty() {
        return empty("No latent is active here.");
    }
    let slug = page.slug().unwrap_or_default();
    let nats = |x: f32| fixed(x.into(), 3);
    let mut rows = String::new();
    for row in latents {
        let &[id, after] = row.as_slice() else {
            continue;
        };
        let share = (before - after) / before.max(f32::MIN_POSITIVE);
        let share = decimal::share(share.clamp(0.0, 1.0).into());
        let id = id as u32;
        let number = id.to_string();
        fill(
            &mut rows,
            "<li data-testid=\"explained\" data-latent=\"{}\"><a class=\"open\" data-row href=\"{}\"><span class=\"mono\">{}</span>\
             <span class=\"label\">{}</span></a><span class=\"meter\" aria-hidden=\"true\"><b data-style=\"width:{}\"></b></span>\
             <span class=\"num\">{}</span></li>",
            &[
                &number,
                &latent_path(&slug, id),
                &number,
                &page.names.label(id).unwrap_or_default(),
                &share,
                &nats(after),
            ],
        );
    }
    let words = format!(
        "KL from chat on base’s residual: {} nats; all {} active latents moved here: {}. Each alone:",
        nats(before),
        active as u32,
        nats(all)
    );
    view! { <p class="small quiet" data-testid="explained-before">{words}</p><ol class="tops" inner_html=rows></ol> }.into_any()
}
