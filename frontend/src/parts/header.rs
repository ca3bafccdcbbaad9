//! The bar on top: where one is, the models' state, theme and shortcuts.

use api::ReadyState;
use leptos::prelude::*;
use leptos_router::hooks::use_location;

use super::theme::ThemeSwitch;
use crate::{
    explorer::{Models, explorer},
    nav::latents_path,
};

/// The header of every page.
#[component]
pub(crate) fn Header() -> impl IntoView {
    let explorer = explorer();
    let pathname = use_location().pathname;
    let dictionary = Memo::new(move |_| {
        let in_path = pathname.with(|path| {
            path.strip_prefix("/d/")
                .and_then(|rest| rest.split('/').next())
                .map(str::to_owned)
        });
        let known = explorer
            .study
            .get()
            .and_then(|s| s.dictionaries.first().map(|d| latents_path(&d.slug)));
        in_path.map(|slug| format!("/d/{slug}")).or(known)
    });
    let current = move |here: &'static str| {
        move || {
            let at = pathname.with(|path| {
                if here == "/" {
                    path == "/"
                } else {
                    path.starts_with(here)
                }
            });
            at.then_some("page")
        }
    };
    view! {
        <header class="bar">
            <a class="brand" href="/" aria-label="Stereoscope: the study">
                <svg viewBox="0 0 34 20" aria-hidden="true">
                    <circle class="left" cx="11" cy="10" r="8.5" />
                    <circle class="right" cx="23" cy="10" r="8.5" />
                </svg>
                <span>"Stereoscope"</span>
            </a>
            <nav aria-label="Pages">
                <a href="/" aria-current=current("/")>"Study"</a>
                <a href=move || dictionary.get().unwrap_or_else(|| "/".into()) aria-current=current("/d/")>"Latents"</a>
                <a href="/lab" aria-current=current("/lab")>"Lab"</a>
            </nav>
            <div class="right">
                <ModelsChip />
                <ThemeSwitch />
                <button type="button" class="icon" aria-label="Keyboard shortcuts" title="Keyboard shortcuts" on:click=move |_| explorer.shortcuts.set(true)>
                    "?"
                </button>
            </div>
        </header>
    }
}

/// Whether prompts can be run, said honestly.
#[component]
fn ModelsChip() -> impl IntoView {
    let explorer = explorer();
    let where_they_run = move || {
        let study = explorer.study.get();
        study.map_or(String::new(), |s| format!(" · {} · {}", s.device, s.dtype))
    };
    let state = move || match explorer.models.get() {
        Models::Unknown => ("wait", "asking the server".to_owned(), String::new()),
        Models::Gone => (
            "gone",
            "server not reachable".to_owned(),
            "It may have been stopped. This page tries again every few seconds.".to_owned(),
        ),
        Models::Known(readiness) => match readiness.state {
            ReadyState::Ready => (
                "ready",
                format!("models ready{}", where_they_run()),
                String::new(),
            ),
            ReadyState::Loading => {
                let percent = (readiness.fraction * 100.0).round();
                (
                    "wait",
                    format!("loading models, {percent} %"),
                    "Everything but prompts works already.".to_owned(),
                )
            }
            ReadyState::BrowseOnly => {
                let why = explorer.study.get().and_then(|s| s.models.reason.clone());
                (
                    "browse",
                    "browse only".to_owned(),
                    why.unwrap_or_else(|| {
                        "This server has no models: prompts cannot be run.".into()
                    }),
                )
            }
            ReadyState::Failed => (
                "gone",
                "models failed to load".to_owned(),
                readiness.detail.unwrap_or_default(),
            ),
        },
    };
    let state = Memo::new(move |_| state());
    view! {
        <span
            class="chip state"
            role="status"
            data-testid="models"
            data-state=move || state.get().0
            title=move || state.get().2
        >
            <i aria-hidden="true"></i>
            {move || state.get().1}
        </span>
    }
}
