//! How tokens are chosen.

use api::Sampling;
use leptos::{ev, prelude::*, web_sys::HtmlInputElement};

use super::Page;

/// Length, temperature, nucleus and seed.
#[component]
pub(super) fn SamplingFields(page: Page) -> impl IntoView {
    let field = move |name: &'static str,
                      title: &'static str,
                      test: &'static str,
                      step: &'static str,
                      get: fn(&Sampling) -> f64,
                      set: fn(&mut Sampling, f64)| {
        let change = move |event: ev::Targeted<ev::Event, HtmlInputElement>| {
            if let Some(x) = event
                .target()
                .value()
                .parse::<f64>()
                .ok()
                .filter(|x| x.is_finite() && *x >= 0.0)
            {
                page.keep_lanes(|state| set(&mut state.sampling, x));
            }
        };
        view! {
            <label title=title>
                {name}
                <input type="number" min="0" step=step data-testid=test prop:value=move || get(&page.draft.read().sampling).to_string() on:change:target=change />
            </label>
        }
    };
    view! {
        <div class="sampling small">
            {field("tokens", "at most this many new tokens", "max-tokens", "1", |s| s.max_new_tokens as f64, |s, x| s.max_new_tokens = x as usize)}
            {field("temperature", "0 always takes the most probable token", "temperature", "0.1", |s| s.temperature, |s, x| s.temperature = x)}
            {field("top p", "the smallest set of tokens whose probability reaches this", "top-p", "0.05", |s| s.top_p, |s, x| s.top_p = x)}
            {field("seed", "equal seeds give equal tokens in equal lanes", "seed", "1", |s| s.seed as f64, |s, x| s.seed = x as u64)}
        </div>
    }
}
