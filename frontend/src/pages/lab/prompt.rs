//! The prompt: turns of a conversation, or raw text.

use api::Message;
use leptos::{ev, prelude::*};

use super::Page;
use crate::{
    explorer::explorer,
    parts::{
        card::Card,
        field::Button,
        keys::is_submit,
        live::{live, memo},
        prompt_box::{models_note, run_button, suggestions, ways},
    },
    state::lab::{PromptForm, turn},
};

/// The prompt's card.
pub(super) fn card(page: Page) -> AnyView {
    let other = StoredValue::new(None::<PromptForm>);
    let is_raw = memo(move || matches!(page.draft.read().prompt, PromptForm::Raw(_)));
    let turns = memo(move || match &page.draft.read().prompt {
        PromptForm::Turns(turns) => turns.len(),
        PromptForm::Raw(_) => 0,
    });
    let switch = move |raw: bool| {
        if is_raw.get_untracked() == raw {
            return;
        }
        let before = page.draft.with_untracked(|d| d.prompt.clone());
        let kept = other.try_update_value(Option::take).flatten();
        let next = kept.unwrap_or_else(|| match &before {
            PromptForm::Raw(text) => PromptForm::user(text),
            PromptForm::Turns(turns) => {
                PromptForm::Raw(turns.last().map(|t| t.content.clone()).unwrap_or_default())
            }
        });
        other.set_value(Some(before));
        page.draft.update(|d| d.prompt = next);
    };
    let on_submit = move |event: ev::SubmitEvent| {
        event.prevent_default();
        page.read();
    };
    let on_key = move |event: ev::KeyboardEvent| {
        if is_submit(&event) {
            event.prevent_default();
            page.read();
        }
    };
    let fields = live(move || {
        if is_raw.get() {
            vec![raw_field(page)]
        } else {
            (0..turns.get()).map(|i| turn_field(page, i)).collect()
        }
    });
    let add = live(move || {
        let add = move || {
            with_turns(page, |turns| {
                let role = if turns.last().is_some_and(|t| t.role == "user") {
                    "assistant"
                } else {
                    "user"
                };
                turns.push(turn(role, ""));
            });
        };
        (!is_raw.get()).then(|| Button::new("Add a turn").doing(add))
    });
    let blank = move || page.draft.read().prompt.to_api().is_none();
    let changed = move || {
        if page.prompt_changed() {
            "not read yet"
        } else {
            ""
        }
    };
    let starts = live(move || {
        let study = explorer().study.get()?;
        let nothing = page.url.read().prompt.to_api().is_none();
        nothing.then(|| {
            suggestions(&study.prompts, move |prompt| {
                page.draft.update(|d| d.prompt = PromptForm::user(&prompt));
            })
        })
    });
    let body = view! {
        {models_note()}
        <form class="prompt-box" on:submit=on_submit on:keydown=on_key>
            <div class="turns">{fields}</div>
            <div class="line">
                {ways(move || is_raw.get(), switch, "chat")}
                {add}
                <span class="aside small quiet">{changed}</span>
                {run_button("Read", Signal::derive(blank), page.reading.state.busy.into())}
            </div>
        </form>
        {starts}
    };
    Card::new("lab-prompt", "Prompt").holding(body.into_any())
}

fn raw_field(page: Page) -> AnyView {
    let value = move || match &page.draft.read().prompt {
        PromptForm::Raw(text) => text.clone(),
        PromptForm::Turns(_) => String::new(),
    };
    area(
        "prompt-input",
        "Raw text; special tokens are parsed, one BOS is put in front",
        "<start_of_turn>user …",
        value,
        move |text| {
            page.draft.update(|d| d.prompt = PromptForm::Raw(text));
        },
    )
}

fn with_turns(page: Page, change: impl FnOnce(&mut Vec<Message>)) {
    page.draft.update(|draft| {
        if let PromptForm::Turns(turns) = &mut draft.prompt {
            change(turns);
        }
    });
}

fn turn_field(page: Page, i: usize) -> AnyView {
    let get = move |of: fn(&Message) -> &String| match &page.draft.read().prompt {
        PromptForm::Turns(turns) => turns.get(i).map(of).cloned().unwrap_or_default(),
        PromptForm::Raw(_) => String::new(),
    };
    let role = memo(move || get(|t| &t.role));
    let flip = move |_| {
        with_turns(page, |turns| {
            if let Some(turn) = turns.get_mut(i) {
                turn.role = if turn.role == "user" {
                    "assistant"
                } else {
                    "user"
                }
                .into();
            }
        });
    };
    let remove = live(move || {
        let more = matches!(&page.draft.read().prompt, PromptForm::Turns(turns) if turns.len() > 1);
        let button = Button {
            class: "icon",
            label: Some("Remove this turn"),
            ..Button::new("×")
        };
        let remove = move || {
            with_turns(page, |turns| {
                if i < turns.len() {
                    turns.remove(i);
                }
            });
        };
        more.then(|| button.doing(remove))
    });
    let (test, hint) = if i == 0 {
        ("prompt-input", "Ask something, as a user would")
    } else {
        ("prompt-turn", "Text of the turn")
    };
    let field = area(
        test,
        "Text of the turn",
        hint,
        move || get(|t| &t.content),
        move |text| {
            with_turns(page, |turns| {
                if let Some(turn) = turns.get_mut(i) {
                    turn.content = text;
                }
            });
        },
    );
    view! {
        <div class="turn" data-role=move || role.get()>
            <button type="button" class="chip role" title="Change the role" aria-label=move || format!("Turn {}: {}. Change the role", i + 1, role.get()) on:click=flip>
                {move || role.get()}
            </button>
            {field}
            {remove}
        </div>
    }
    .into_any()
}

fn area(
    test: &'static str,
    label: &'static str,
    hint: &'static str,
    value: impl Fn() -> String + Send + Sync + 'static,
    typed: impl Fn(String) + 'static,
) -> AnyView {
    view! {
        <textarea
            rows="2"
            data-testid=test
            data-slash=(test == "prompt-input").then_some("")
            aria-label=label
            placeholder=hint
            prop:value=Signal::derive(value)
            on:input:target=move |event| typed(event.target().value())
        ></textarea>
    }
    .into_any()
}
