//! How tokens are chosen: in all lanes, and in a lane that has a way of its own.

use api::Sampling;
use leptos::prelude::*;

use super::Page;
use crate::{
    display::decimal::{self, shortest},
    parts::{
        field::{Check, Field},
        live::{live, memo},
    },
    state::lab::LabState,
};

/// Where in the state a way to choose tokens lies; none where the lane has none of its own.
type Place = fn(&mut LabState) -> Option<&mut Sampling>;

/// Length, temperature, nucleus, number kept and seed of the lanes that have no way of their own.
pub(super) fn sampling(page: Page) -> AnyView {
    view! { <div class="sampling small">{fields(page, |state| Some(&mut state.sampling))}</div> }
        .into_any()
}

/// The same of one lane, behind a box to tick.
pub(super) fn own(
    page: Page,
    place: Place,
    slot: fn(&mut LabState) -> &mut Option<Sampling>,
    test: &'static str,
) -> AnyView {
    let on = memo(move || slot(&mut page.draft.get()).is_some());
    let check = Check {
        kind: "checkbox",
        name: "own-sampling",
        value: test,
        words: "its own sampling".into_any(),
        class: "small",
        title: "This lane chooses its tokens in another way than the others.".into(),
    };
    let check = check.showing(
        move || on.get(),
        move || {
            page.keep_lanes(|state| {
                let all = state.sampling;
                let slot = slot(state);
                *slot = if slot.is_some() { None } else { Some(all) };
            });
        },
    );
    let fields = live(move || {
        on.get()
            .then(|| view! { <div class="sampling small">{fields(page, place)}</div> }.into_any())
    });
    view! { <div class="own-sampling">{check}{fields}</div> }.into_any()
}

fn fields(page: Page, of: Place) -> AnyView {
    view! {
        {field(page, of, "tokens", "max-tokens", "at most this many new tokens", |s| s.max_new_tokens as f64, |s, x| s.max_new_tokens = x as usize)}
        {field(page, of, "temperature", "temperature", "0 always takes the most probable token", |s| s.temperature, |s, x| s.temperature = x)}
        {field(page, of, "top p", "top-p", "the smallest set of tokens whose probability reaches this", |s| s.top_p, |s, x| s.top_p = x)}
        {field(page, of, "top k", "top-k", "only so many of the most probable tokens; 0 keeps all", |s| s.top_k as f64, |s, x| s.top_k = x as usize)}
        {field(page, of, "seed", "seed", "equal seeds give equal tokens in equal lanes", |s| s.seed as f64, |s, x| s.seed = x as u64)}
    }
    .into_any()
}

fn field(
    page: Page,
    of: Place,
    name: &'static str,
    test: &'static str,
    title: &'static str,
    get: fn(&Sampling) -> f64,
    set: fn(&mut Sampling, f64),
) -> AnyView {
    let entered = move |text: String| {
        if let Some(x) = decimal::read(&text).filter(|x| *x >= 0.0) {
            page.keep_lanes(|state| {
                if let Some(sampling) = of(state) {
                    set(sampling, x);
                }
            });
        }
    };
    let value = move || {
        let mut state = page.draft.get();
        of(&mut state).map_or(String::new(), |sampling| shortest(get(sampling)))
    };
    let input = Field::number(name, test).showing(value, entered);
    view! { <span class="pair" title=title><span aria-hidden="true">{name}</span>{input}</span> }
        .into_any()
}
