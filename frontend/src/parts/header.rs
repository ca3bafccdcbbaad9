//! The bar on top: where one is, the models' state, theme and shortcuts.

use crate::parts::live::memo;
use api::ReadyState;
use leptos::prelude::*;

use super::{field::Button, theme::ThemeSwitch};
use crate::{
    explorer::{Models, explorer},
    nav::Address,
    state::place::{Place, latents_path},
};

/// The header of every page.
#[component]
pub(crate) fn Header() -> impl IntoView {
    let explorer = explorer();
    let place = memo(move || explorer.address.with(Address::place));
    let latents = move || {
        let first = || {
            explorer
                .study
                .get()
                .and_then(|s| s.dictionaries.first().map(|d| d.slug.clone()))
        };
        let slug = place.read().dictionary().map(str::to_owned).or_else(first);
        slug.map_or_else(|| "./".into(), |slug| latents_path(&slug))
    };
    let link = move |words: &'static str, href: Signal<String>, here: fn(&Place) -> bool| {
        view! { <a href=href aria-current=move || here(&place.read()).then_some("page")>{words}</a> }.into_any()
    };
    let shortcuts = Button {
        class: "icon",
        label: Some("Keyboard shortcuts"),
        ..Button::new("?")
    };
    view! {
        <header class="bar">
            <a class="brand" href="./" aria-label="Stereoscope: the study">
                <svg viewBox="0 0 34 20" aria-hidden="true">
                    <circle class="left" cx="11" cy="10" r="8.5" />
                    <circle class="right" cx="23" cy="10" r="8.5" />
                </svg>
                <span>"Stereoscope"</span>
            </a>
            <nav aria-label="Pages">
                {link("Study", Signal::stored("./".to_owned()), |place| *place == Place::Study)}
                {link("Latents", Signal::derive(latents), |place| place.dictionary().is_some())}
                {link("Lab", Signal::stored("lab".to_owned()), |place| *place == Place::Lab)}
                {link("Method", Signal::stored("method".to_owned()), |place| *place == Place::Method)}
            </nav>
            <div class="right">
                <ModelsChip />
                <ThemeSwitch />
                {shortcuts.doing(move || explorer.shortcuts.set(true))}
            </div>
        </header>
    }
    .into_any()
}

/// Whether prompts can be run, said honestly.
#[component]
fn ModelsChip() -> impl IntoView {
    let explorer = explorer();
    let state = memo(move || match explorer.models.get() {
        Models::Unknown => ("wait", "asking the server".to_owned(), String::new()),
        Models::Gone => (
            "gone",
            "server not reachable".to_owned(),
            "It may have been stopped. This page tries again every few seconds.".to_owned(),
        ),
        Models::Known(readiness) => {
            let study = explorer.study.get();
            match readiness.state {
                ReadyState::Ready => {
                    let place =
                        study.map_or(String::new(), |s| format!(" · {} · {}", s.device, s.dtype));
                    ("ready", format!("models ready{place}"), String::new())
                }
                ReadyState::Loading => {
                    let percent = (readiness.fraction * 100.0) as u32;
                    (
                        "wait",
                        format!("loading models, {percent} %"),
                        "Everything but prompts works already.".to_owned(),
                    )
                }
                ReadyState::BrowseOnly => {
                    let why = study.and_then(|s| s.models.reason.clone());
                    (
                        "browse",
                        "browse only".to_owned(),
                        why.unwrap_or_else(|| "This server has no models.".into()),
                    )
                }
                ReadyState::Failed => (
                    "gone",
                    "models failed to load".to_owned(),
                    readiness.detail.unwrap_or_default(),
                ),
            }
        }
    });
    view! {
        <span
            class="chip state"
            role="status"
            data-testid="models"
            data-state=move || state.read().0
            title=move || format!("{}. {}", state.read().1, state.read().2)
        >
            <i aria-hidden="true"></i>
            {move || state.read().1.clone()}
        </span>
    }
    .into_any()
}
