//! What a lane says, as it comes.

use api::{DoneReason, EffectsRequest, Prompt, TokenEvent};
use leptos::prelude::*;

use super::run::Run;
use crate::{
    display::{
        numbers::{duration, fixed, percent},
        tokens::generated,
    },
    net::{
        divergences,
        load::{Load, use_body},
        request::Request,
    },
    parts::live::{live, memo},
};

/// The tokens of a lane, and why it ended.
pub(super) fn output(run: Run, effects: Load<Vec<Vec<f32>>>, lane: usize) -> AnyView {
    let Some(&mine) = run.outputs.get(lane) else {
        return ().into_any();
    };
    let difference = memo(move || {
        if lane == 0 {
            None
        } else {
            first_difference(run, lane)
        }
    });
    let text = live(move || {
        let tokens = mine.tokens.read();
        if !tokens.is_empty() {
            let at = difference.get();
            return tokens
                .iter()
                .enumerate()
                .map(|(i, t)| token(t, at == Some(i)))
                .collect_view()
                .into_any();
        }
        match (run.busy.get(), mine.done.read().is_some()) {
            (_, true) => ().into_any(),
            (true, _) => {
                let place = run.place.get();
                let words = if place > 0 {
                    format!("number {place} in line")
                } else {
                    "…".into()
                };
                view! { <span class="quiet pulse">{words}</span> }.into_any()
            }
            (false, _) => view! { <span class="empty">"Nothing generated yet."</span> }.into_any(),
        }
    });
    let ending = move || {
        let Some(done) = mine.done.get() else {
            return String::new();
        };
        let reason = match done.reason {
            DoneReason::Stop => "ended by itself",
            DoneReason::Length => "reached the limit",
            DoneReason::Cancelled => "stopped",
        };
        let mut words = format!("{reason} · {} tokens", done.tokens);
        if done.timings.decode_ms > 0.0 {
            let rate = done.tokens as f64 / done.timings.decode_ms * 1000.0;
            let prefill = duration(done.timings.prefill_ms + done.timings.queue_ms);
            words = format!(
                "{words} · prompt {prefill}, then {} tokens/s",
                fixed(rate, 0)
            );
        }
        words
    };
    let differs = move || match (
        lane == 0 || mine.tokens.read().is_empty(),
        difference.get(),
        run.busy.get(),
    ) {
        (true, ..) | (_, None, true) => String::new(),
        (_, Some(at), _) => format!("differs from the plain lane from token {} on", at + 1),
        (_, None, false) => "the same as the plain lane".into(),
    };
    let divergence = move || {
        let effects = effects.get();
        let lane = effects.as_ref().and_then(|lanes| lanes.get(lane));
        let Some([chat, base]) = lane.map(Vec::as_slice) else {
            return String::new();
        };
        let nats = |x: &f32| fixed((*x).into(), 3);
        format!(
            "first token: KL from chat {}, from base {} nats",
            nats(chat),
            nats(base)
        )
    };
    let state = move || match mine.done.read().as_ref().map(|d| d.reason) {
        None => "",
        Some(DoneReason::Stop) => "stop",
        Some(DoneReason::Length) => "length",
        Some(DoneReason::Cancelled) => "cancelled",
    };
    view! {
        <div class="output text" data-testid="lane-output" data-lane=lane.to_string() data-done=state tabindex="0" role="region" aria-label=format!("Output of lane {}", lane + 1)>{text}</div>
        <p class="small quiet ending"><span data-testid="lane-ending">{ending}</span><span data-testid="lane-kl">{divergence}</span><span data-testid="lane-kl-answer">{answer_divergence(run, lane)}</span><span class="aside" data-testid="lane-difference">{differs}</span></p>
    }
    .into_any()
}

/// What the lane's predictions of its own answer diverge from those of both models, once it has ended: all of them are asked for the
/// lane's text, with its edits where they were.
fn answer_divergence(run: Run, lane: usize) -> AnyView {
    let Some(&mine) = run.outputs.get(lane) else {
        return ().into_any();
    };
    let answer = use_body(
        move || {
            let tokens = mine.done.get().map(|_| mine.tokens.get())?;
            let asked = run.asked.get_untracked()?;
            let mut ids = run.prompt.get_untracked();
            ids.extend(tokens.iter().map(|token| token.id));
            (!tokens.is_empty()).then(|| {
                Request::effects(&EffectsRequest {
                    dictionary: asked.dictionary,
                    prompt: Prompt::ids(ids),
                    lanes: asked.lanes.into_iter().skip(lane).take(1).collect(),
                    generated: tokens.len(),
                })
            })
        },
        divergences::read_positions,
    );
    let words = move || {
        if let Some(fault) = answer.state.fault.get() {
            return format!("KL over the answer: {}", fault.detail());
        }
        let generated = mine.tokens.read().len();
        let both = answer.get();
        let Some([chat, base]) = both.as_ref().map(|both| both.as_slice()) else {
            return String::new();
        };
        // The last position predicts what comes after the answer.
        let of = |all: &[f32]| {
            let end = all.len().saturating_sub(1);
            let part = all
                .get(end.saturating_sub(generated)..end)
                .unwrap_or_default();
            let sum: f64 = part.iter().map(|x| f64::from(*x)).sum();
            let most = part.iter().copied().fold(0.0, f32::max);
            let mean = sum / part.len().max(1) as f64;
            format!("{} (most {})", fixed(mean, 3), fixed(most.into(), 2))
        };
        format!(
            "mean over its {generated} tokens: KL from chat {}, from base {} nats",
            of(chat),
            of(base)
        )
    };
    words.into_any()
}

fn token(token: &TokenEvent, first_difference: bool) -> AnyView {
    let (class, text) = generated(&token.text, first_difference);
    let title = format!("p {}", percent(f64::from(token.logprob).exp()));
    view! { <span class=class data-testid="lane-token" data-id=token.id.to_string() title=title>{text}</span> }.into_any()
}

/// Where a lane leaves the plain one: another token, or a further one where the other has ended.
fn first_difference(run: Run, lane: usize) -> Option<usize> {
    let (plain, steered) = (run.outputs.first()?, run.outputs.get(lane)?);
    let (a, b) = (plain.tokens.read(), steered.tokens.read());
    let differing = a.iter().zip(b.iter()).position(|(x, y)| x.id != y.id);
    differing.or_else(|| (b.len() > a.len() && plain.done.read().is_some()).then_some(a.len()))
}
