//! Pages' states and the address bar.

use leptos::prelude::*;
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate, use_params_map},
};

use crate::state::UrlState;

/// What a change of state does to the browser's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    /// A new entry: "back" undoes the change.
    Push,
    /// The current entry changes.
    Replace,
}

/// The state of this page, read from the address, and a function that changes it there.
pub(crate) fn use_url_state<S: UrlState>()
-> (Memo<S>, impl Fn(S, History) + Copy + Send + Sync + 'static) {
    let location = use_location();
    let (pathname, search) = (location.pathname, location.search);
    let mine = pathname.with_untracked(|path| shape(path));
    // While the next page is coming up, the address is already its own: this page keeps what it had.
    let state = Memo::new(move |before: Option<&S>| match before {
        Some(before) if pathname.with(|path| shape(path)) != mine => before.clone(),
        _ => search.with(|query| S::read(query)),
    });
    let navigate = StoredValue::new_local(use_navigate());
    let set = move |next: S, history: History| {
        let to = next.href(&pathname.get_untracked());
        let options = NavigateOptions {
            replace: history == History::Replace,
            scroll: false,
            resolve: false,
            ..NavigateOptions::default()
        };
        navigate.with_value(|navigate| navigate(&to, options));
    };
    (state, set)
}

/// Goes to another page.
pub(crate) fn use_goto() -> impl Fn(&str) + Copy + Send + Sync + 'static {
    let navigate = StoredValue::new_local(use_navigate());
    move |to: &str| {
        navigate.with_value(|navigate| {
            navigate(
                to,
                NavigateOptions {
                    resolve: false,
                    ..NavigateOptions::default()
                },
            )
        });
    }
}

/// A segment of the path by its name in the route.
pub(crate) fn use_segment(name: &'static str) -> Memo<String> {
    let params = use_params_map();
    Memo::new(move |_| params.with(|params| params.get(name).unwrap_or_default()))
}

/// Sets the document's title while the page is shown.
pub(crate) fn use_title(title: impl Fn() -> String + 'static) {
    Effect::new(move |_| document().set_title(&format!("{} · Stereoscope", title())));
}

/// The address of a dictionary's table.
pub(crate) fn latents_path(dictionary: &str) -> String {
    format!("/d/{}", crate::state::query::encode(dictionary))
}

/// The address of a latent.
pub(crate) fn latent_path(dictionary: &str, id: u32) -> String {
    format!("{}/l/{id}", latents_path(dictionary))
}

/// What tells one kind of page from another: the first segment and how many there are.
fn shape(path: &str) -> (String, usize) {
    let mut segments = path.split('/').filter(|s| !s.is_empty());
    let first = segments.next().unwrap_or("").to_owned();
    (first, segments.count())
}
