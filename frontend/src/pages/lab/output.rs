//! What a lane says, as it comes.

use api::{DoneReason, TokenEvent};
use leptos::prelude::*;

use super::run::Run;
use crate::display::{
    numbers::{duration, fixed, percent},
    tokens::chip,
};

/// The tokens of a lane, and why it ended.
#[component]
pub(super) fn OutputView(run: Run, lane: usize) -> impl IntoView {
    let Some(&mine) = run.outputs.get(lane) else {
        return ().into_any();
    };
    let difference = Memo::new(move |_| {
        if lane == 0 {
            None
        } else {
            first_difference(run)
        }
    });
    let tokens = move || mine.tokens.get();
    let one = move |token: TokenEvent| {
        let at = token.index;
        let p = percent(f64::from(token.logprob).exp());
        let special =
            token.text.len() > 2 && token.text.starts_with('<') && token.text.ends_with('>');
        let text = if special {
            chip(&token.text)
        } else {
            token.text
        };
        view! {
            <span
                class="tok out"
                class:ctl=special
                class:first-difference=move || difference.get() == Some(at)
                data-testid="lane-token"
                data-id=token.id
                title=format!("p {p}")
            >
                {text}
            </span>
        }
    };
    let waiting = move || {
        let nothing = mine.tokens.read().is_empty() && mine.done.read().is_none();
        match (nothing, run.busy.get()) {
            (true, true) => Some(view! { <span class="quiet pulse">"…"</span> }.into_any()),
            (true, false) => {
                Some(view! { <span class="empty">"Nothing generated yet."</span> }.into_any())
            }
            _ => None,
        }
    };
    let ending = move || {
        let done = mine.done.get()?;
        let reason = match done.reason {
            DoneReason::Stop => "ended by itself",
            DoneReason::Length => "reached the limit",
            DoneReason::Cancelled => "stopped",
        };
        let mut words = format!("{reason} · {} tokens", done.tokens);
        if done.timings.decode_ms > 0.0 {
            let rate = done.tokens as f64 / done.timings.decode_ms * 1000.0;
            let prefill = duration(done.timings.prefill_ms + done.timings.queue_ms);
            words += &format!(" · prompt {prefill}, then {} tokens/s", fixed(rate, 0));
        }
        Some(words)
    };
    let differs = move || {
        if lane == 0 || mine.tokens.read().is_empty() {
            return None;
        }
        match difference.get() {
            Some(at) => Some(format!(
                "differs from the plain lane from token {} on",
                at + 1
            )),
            None => (!run.busy.get()).then(|| "the same as the plain lane".to_owned()),
        }
    };
    view! {
        <div class="output text broken" data-testid="lane-output" data-lane=lane data-done=move || mine.done.read().map(|d| format!("{:?}", d.reason).to_lowercase())>
            {waiting}
            <For each=tokens key=|token| token.index children=one />
        </div>
        <p class="small quiet ending"><span data-testid="lane-ending">{ending}</span><span class="aside" data-testid="lane-difference">{differs}</span></p>
    }
    .into_any()
}

/// Where the steered lane leaves the plain one: another token, or a further one where the other has ended.
fn first_difference(run: Run) -> Option<usize> {
    let [plain, steered] = run.outputs;
    let (a, b) = (plain.tokens.read(), steered.tokens.read());
    let differing = a.iter().zip(b.iter()).position(|(x, y)| x.id != y.id);
    differing.or_else(|| (b.len() > a.len() && plain.done.read().is_some()).then_some(a.len()))
}
