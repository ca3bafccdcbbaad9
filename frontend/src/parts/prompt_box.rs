//! A field for a prompt, with a button and a choice of how it is read.

use leptos::{ev, prelude::*};

use super::keys::is_submit;
use crate::explorer::{Models, explorer};

/// One prompt: the text, and whether it is raw.
#[component]
pub(crate) fn PromptBox(
    /// What is being edited.
    text: RwSignal<String>,
    /// The text is raw instead of a user's turn.
    raw: RwSignal<bool>,
    /// The button's word.
    action: &'static str,
    /// What the field is for, for screen readers.
    label: &'static str,
    /// Called with a prompt that is not blank.
    submit: Callback<()>,
    /// A request is under way.
    busy: Signal<bool>,
) -> impl IntoView {
    let submit = move || {
        if !text.read_untracked().trim().is_empty() {
            submit.run(());
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
    let way = move |raw_text: bool, words: &'static str| {
        view! {
            <label><input type="radio" name="prompt-way" prop:checked=move || raw.get() == raw_text on:change=move |_| raw.set(raw_text) />{words}</label>
        }
    };
    view! {
        <form class="prompt-box" on:submit=on_submit>
            <textarea
                rows="2"
                data-testid="prompt-input"
                data-slash
                aria-label=label
                placeholder=move || if raw.get() { "<start_of_turn>user …" } else { "Ask something, as a user would" }
                prop:value=text
                on:input:target=move |event| text.set(event.target().value())
                on:keydown=on_key
            ></textarea>
            <div class="line">
                <fieldset class="ways"><legend class="unseen">"How the prompt is read"</legend>{way(false, "as a user’s turn")}{way(true, "raw text")}</fieldset>
                <button
                    type="submit"
                    class="primary aside"
                    data-testid="prompt-run"
                    disabled=move || text.read().trim().is_empty()
                    aria-busy=move || busy.get().then_some("true")
                >
                    {action}
                    <kbd aria-hidden="true">"ctrl ↵"</kbd>
                </button>
            </div>
        </form>
    }
}

/// Why prompts cannot be run now; nothing when they can.
#[component]
pub(crate) fn ModelsNote() -> impl IntoView {
    let explorer = explorer();
    move || {
        let text = match explorer.models.get() {
            Models::Known(readiness) => match readiness.state {
                api::ReadyState::Ready => return None,
                api::ReadyState::Loading => {
                    "The models are still loading; the prompt will run as soon as they are there."
                        .to_owned()
                }
                api::ReadyState::BrowseOnly => {
                    let reason = explorer.study.get().and_then(|s| s.models.reason.clone());
                    format!(
                        "Prompts cannot be run here. {}",
                        reason.unwrap_or_else(|| "This server has no models.".into())
                    )
                }
                api::ReadyState::Failed => format!(
                    "The models failed to load. {}",
                    readiness.detail.unwrap_or_default()
                ),
            },
            Models::Gone => {
                "The server does not answer; prompts cannot be run until it is back.".to_owned()
            }
            Models::Unknown => return None,
        };
        Some(view! { <p class="note warn" data-testid="models-note">{text}</p> })
    }
}
