//! The prompt: turns of a conversation, or raw text.

use api::Message;
use leptos::{ev, prelude::*};

use super::Page;
use crate::{
    display::tokens::glyph,
    explorer::explorer,
    parts::{keys::is_submit, prompt_box::ModelsNote},
    state::lab::{PromptForm, turn},
};

/// The prompt's card.
#[component]
pub(super) fn PromptCard(page: Page) -> impl IntoView {
    let explorer = explorer();
    let other = StoredValue::new(None::<PromptForm>);
    let is_raw = Memo::new(move |_| matches!(page.draft.read().prompt, PromptForm::Raw(_)));
    let turn_count = Memo::new(move |_| match &page.draft.read().prompt {
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
    let way = move |raw: bool, words: &'static str| {
        view! { <label><input type="radio" name="prompt-way" prop:checked=move || is_raw.get() == raw on:change=move |_| switch(raw) />{words}</label> }
    };
    let fields = move || {
        if is_raw.get() {
            view! { <RawField page /> }.into_any()
        } else {
            (0..turn_count.get())
                .map(|i| view! { <TurnField page i /> })
                .collect_view()
                .into_any()
        }
    };
    let add = move |_| {
        page.draft.update(|draft| {
            if let PromptForm::Turns(turns) = &mut draft.prompt {
                let role = if turns.last().is_some_and(|t| t.role == "user") {
                    "assistant"
                } else {
                    "user"
                };
                turns.push(turn(role, ""));
            }
        });
    };
    let blank = move || page.draft.read().prompt.to_api().is_none();
    let changed = move || page.draft.read().prompt != page.url.read().prompt;
    let suggestions = move || {
        let study = explorer.study.get()?;
        (page.url.read().prompt.to_api().is_none() && !study.prompts.is_empty()).then(|| {
            let buttons = study
                .prompts
                .iter()
                .map(|prompt| {
                    let (shown, prompt) = (glyph(prompt), prompt.clone());
                    let take = move |_| page.draft.update(|d| d.prompt = PromptForm::user(&prompt));
                    view! { <button type="button" class="suggestion" on:click=take>{shown}</button> }
                })
                .collect_view();
            view! { <div class="suggestions" role="group" aria-label="Prompts to start from">{buttons}</div> }
        })
    };
    view! {
        <section class="card" aria-labelledby="lab-prompt">
            <header>
                <h2 id="lab-prompt">"Prompt"</h2>
                <fieldset class="ways aside"><legend class="unseen">"How the prompt is read"</legend>{way(false, "chat")}{way(true, "raw text")}</fieldset>
            </header>
            <ModelsNote />
            <form class="prompt-box" on:submit=on_submit on:keydown=on_key>
                <div class="turns">{fields}</div>
                <div class="line">
                    <button type="button" class:gone=is_raw on:click=add>"Add a turn"</button>
                    <span class="aside small quiet">{move || changed().then_some("not read yet")}</span>
                    <button type="submit" class="primary" data-testid="prompt-run" disabled=blank aria-busy=move || page.reading.busy.get().then_some("true")>
                        "Read "
                        <kbd aria-hidden="true">"ctrl ↵"</kbd>
                    </button>
                </div>
            </form>
            {suggestions}
        </section>
    }
}

#[component]
fn RawField(page: Page) -> impl IntoView {
    let value = move || match &page.draft.read().prompt {
        PromptForm::Raw(text) => text.clone(),
        PromptForm::Turns(_) => String::new(),
    };
    view! {
        <textarea
            rows="4"
            class="mono"
            data-testid="prompt-input"
            data-slash
            aria-label="Raw text; special tokens are parsed, one BOS is put in front"
            placeholder="<start_of_turn>user …"
            prop:value=value
            on:input:target=move |event| {
                let text = event.target().value();
                page.draft.update(|d| d.prompt = PromptForm::Raw(text));
            }
        ></textarea>
    }
}

#[component]
fn TurnField(page: Page, i: usize) -> impl IntoView {
    let with = move |of: fn(&Message) -> String| match &page.draft.read().prompt {
        PromptForm::Turns(turns) => turns.get(i).map(of).unwrap_or_default(),
        PromptForm::Raw(_) => String::new(),
    };
    let change = move |change: &dyn Fn(&mut Vec<Message>)| {
        page.draft.update(|draft| {
            if let PromptForm::Turns(turns) = &mut draft.prompt {
                change(turns);
            }
        });
    };
    let role = Memo::new(move |_| with(|t| t.role.clone()));
    let flip = move |_| {
        change(&|turns| {
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
    let remove = move |_| {
        change(&|turns| {
            if turns.len() > 1 && i < turns.len() {
                turns.remove(i);
            }
        });
    };
    let only =
        move || matches!(&page.draft.read().prompt, PromptForm::Turns(turns) if turns.len() < 2);
    view! {
        <div class="turn" data-role=role>
            <button type="button" class="chip role" title="Change the role" aria-label=move || format!("Turn {}: {}. Change the role", i + 1, role.get()) on:click=flip>{role}</button>
            <textarea
                rows="2"
                data-testid=if i == 0 { "prompt-input" } else { "prompt-turn" }
                data-slash=(i == 0).then_some("")
                aria-label=move || format!("Turn {}, {}", i + 1, role.get())
                placeholder=move || if role.get() == "user" { "Ask something, as a user would" } else { "An answer, given or begun" }
                prop:value=move || with(|t| t.content.clone())
                on:input:target=move |event| {
                    let text = event.target().value();
                    change(&|turns| if let Some(turn) = turns.get_mut(i) { turn.content.clone_from(&text); });
                }
            ></textarea>
            <button type="button" class="icon" class:gone=only aria-label=format!("Remove turn {}", i + 1) on:click=remove>"×"</button>
        </div>
    }
}
