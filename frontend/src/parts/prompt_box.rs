//! A field for a prompt, with a button and a choice of how it is read.

use api::ReadyState;
use leptos::{ev, prelude::*};

use super::{
    field::{Button, Check},
    keys::is_submit,
    live::live,
    states::warning,
};
use crate::parts::signal::RwSignal;
use crate::{
    display::tokens::glyph,
    explorer::{Models, explorer},
};

/// One prompt: the text, and whether it is raw.
#[derive(Clone, Copy)]
pub(crate) struct PromptBox {
    /// What is being edited.
    pub(crate) text: RwSignal<String>,
    /// The text is raw instead of a user's turn.
    pub(crate) raw: RwSignal<bool>,
    /// The button's word.
    pub(crate) action: &'static str,
    /// What the field is for, for screen readers.
    pub(crate) label: &'static str,
}

impl PromptBox {
    /// The form; `submit` is called with a prompt that is not blank.
    pub(crate) fn form(self, busy: Signal<bool>, submit: impl Fn() + Copy + 'static) -> AnyView {
        let Self {
            text,
            raw,
            action,
            label,
        } = self;
        let blank = move || text.read().trim().is_empty();
        let submit = move || {
            if !text.read_untracked().trim().is_empty() {
                submit();
            }
        };
        let on_submit = move |event: ev::SubmitEvent| {
            event.prevent_default();
            submit();
        };
        let on_key = move |event: ev::KeyboardEvent| {
            if is_submit(&event) {
                event.prevent_default();
                submit();
            }
        };
        view! {
            <form class="prompt-box" on:submit=on_submit>
                <textarea
                    rows="2"
                    data-testid="prompt-input"
                    data-slash=""
                    aria-label=label
                    placeholder=move || if raw.get() { "<start_of_turn>user …" } else { "Ask something, as a user would" }
                    prop:value=move || text.get()
                    on:input:target=move |event| text.set(event.target().value())
                    on:keydown=on_key
                ></textarea>
                <div class="line">
                    {ways(move || raw.get(), move |to| raw.set(to), "as a user’s turn")}
                    {run_button(action, Signal::derive(blank), busy)}
                </div>
            </form>
        }
        .into_any()
    }
}

/// The choice between turns and raw text.
pub(crate) fn ways(
    raw: impl Fn() -> bool + Copy + Send + Sync + 'static,
    set: impl Fn(bool) + Copy + 'static,
    turns: &'static str,
) -> AnyView {
    view! {
        <fieldset class="ways">
            <legend class="unseen">"How the prompt is read"</legend>
            {Check::radio("way", "chat", turns).showing(move || !raw(), move || set(false))}
            {Check::radio("way", "text", "raw text").showing(raw, move || set(true))}
        </fieldset>
    }
    .into_any()
}

/// The button that reads a prompt.
pub(crate) fn run_button(words: &'static str, off: Signal<bool>, busy: Signal<bool>) -> AnyView {
    view! {
        <button type="submit" class="primary aside" data-testid="prompt-run" aria-disabled=move || off.get().then_some("true") aria-busy=move || busy.get().then_some("true")>
            {words}
            <kbd aria-hidden="true">"ctrl ↵"</kbd>
        </button>
    }
    .into_any()
}

/// Why prompts cannot be run now; nothing when they can.
pub(crate) fn models_note() -> AnyView {
    let explorer = explorer();
    live(move || {
        let text = match explorer.models.get() {
            Models::Unknown => return None,
            Models::Gone => {
                "The server does not answer; prompts cannot be run until it is back.".to_owned()
            }
            Models::Known(readiness) => match readiness.state {
                ReadyState::Ready => return None,
                ReadyState::Loading => {
                    "The models are still loading; the prompt will run as soon as they are there."
                        .to_owned()
                }
                ReadyState::BrowseOnly => {
                    let reason = explorer.study.get().and_then(|s| s.models.reason.clone());
                    format!(
                        "Prompts cannot be run here. {}",
                        reason.unwrap_or_else(|| "This server has no models.".into())
                    )
                }
                ReadyState::Failed => format!(
                    "The models failed to load. {}",
                    readiness.detail.unwrap_or_default()
                ),
            },
        };
        Some(view! { <div data-testid="models-note">{warning(text)}</div> }.into_any())
    })
}

/// Prompts shown at once.
const SUGGESTED: usize = 6;

/// Prompts to start from, as buttons; many of them are folded away.
pub(crate) fn suggestions(prompts: &[String], take: impl Fn(String) + Copy + 'static) -> AnyView {
    if prompts.is_empty() {
        return ().into_any();
    }
    let button = |prompt: &String| {
        let (words, prompt) = (glyph(prompt), prompt.clone());
        let button = Button {
            class: "suggestion",
            ..Button::new("")
        };
        button.saying(words, move || take(prompt.clone()))
    };
    let few = prompts.iter().take(SUGGESTED).map(button).collect_view();
    let rest = prompts.iter().skip(SUGGESTED).map(button).collect_view();
    let more = (!rest.is_empty()).then(|| {
        view! { <details class="twin"><summary>"More prompts"</summary><div class="suggestions">{rest}</div></details> }.into_any()
    });
    view! { <div class="suggestions" role="group" aria-label="Prompts to start from">{few}</div>{more} }.into_any()
}
