//! How tokens are chosen.

use api::Sampling;
use leptos::prelude::*;

use super::Page;
use crate::{
    display::decimal::{self, shortest},
    parts::field::Field,
};

/// Length, temperature, nucleus and seed.
pub(super) fn sampling(page: Page) -> AnyView {
    view! {
        <div class="sampling small">
            {field(page, "tokens", "max-tokens", "at most this many new tokens", |s| s.max_new_tokens as f64, |s, x| s.max_new_tokens = x as usize)}
            {field(page, "temperature", "temperature", "0 always takes the most probable token", |s| s.temperature, |s, x| s.temperature = x)}
            {field(page, "top p", "top-p", "the smallest set of tokens whose probability reaches this", |s| s.top_p, |s, x| s.top_p = x)}
            {field(page, "seed", "seed", "equal seeds give equal tokens in equal lanes", |s| s.seed as f64, |s, x| s.seed = x as u64)}
        </div>
    }
    .into_any()
}

fn field(
    page: Page,
    name: &'static str,
    test: &'static str,
    title: &'static str,
    get: fn(&Sampling) -> f64,
    set: fn(&mut Sampling, f64),
) -> AnyView {
    let entered = move |text: String| {
        if let Some(x) = decimal::read(&text).filter(|x| *x >= 0.0) {
            page.keep_lanes(|state| set(&mut state.sampling, x));
        }
    };
    let input = Field::number(name, test)
        .showing(move || shortest(get(&page.draft.read().sampling)), entered);
    view! { <span class="pair" title=title><span aria-hidden="true">{name}</span>{input}</span> }
        .into_any()
}
