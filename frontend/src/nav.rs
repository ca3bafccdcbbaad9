//! The address bar: which page is shown, and the page's state in the query.

use crate::parts::live::{effect, memo, when_changed};
use crate::parts::signal::{Memo, RwSignal};
use leptos::{
    ev::{self, MouseEvent},
    prelude::*,
    web_sys::{Element, HtmlAnchorElement},
};
use wasm_bindgen::{JsCast, JsValue};

use crate::{
    explorer::explorer,
    parts::keys::focus,
    state::{UrlState, place::Place},
};

/// What a change of address does to the browser's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    /// A new entry: "back" undoes the change.
    Push,
    /// The current entry changes.
    Replace,
}

/// Path, from the page's base, and query of the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    path: String,
    query: String,
}

impl Address {
    /// What the address bar says.
    pub(crate) fn read() -> Self {
        let location = window().location();
        let path = location.pathname().unwrap_or_default();
        let base = document().query_selector("base").ok().flatten();
        let base = base.and_then(|base| base.get_attribute("href"));
        Self {
            path: path
                .strip_prefix(&base.unwrap_or_default())
                .unwrap_or(&path)
                .to_owned(),
            query: location.search().unwrap_or_default(),
        }
    }

    /// The page.
    pub(crate) fn place(&self) -> Place {
        Place::read(&self.path)
    }
}

/// Follows "back", "forward" and every plain link inside the explorer.
pub(crate) fn follow_links(address: RwSignal<Address>) {
    let back = window_event_listener(ev::popstate, move |_| address.set(Address::read()));
    let click = window_event_listener(ev::click, |event| {
        if let Some(href) = inner_link(&event) {
            event.prevent_default();
            goto(&href);
        }
    });
    on_cleanup(move || {
        back.remove();
        click.remove();
    });
}

/// The path and query of the link under a click that the explorer itself should follow.
fn inner_link(event: &MouseEvent) -> Option<String> {
    let modified = event.ctrl_key() || event.meta_key() || event.shift_key() || event.alt_key();
    if event.default_prevented() || event.button() != 0 || modified {
        return None;
    }
    let target: Element = event.target()?.dyn_into().ok()?;
    let link: HtmlAnchorElement = target.closest("a[href]").ok()??.dyn_into().ok()?;
    let outside =
        link.rel() == "external" || link.has_attribute("download") || !link.target().is_empty();
    let here = window().location().origin().ok()?;
    if outside || link.origin() != here || !link.hash().is_empty() {
        return None;
    }
    Some(link.pathname() + &link.search())
}

/// Goes to another page, at its top.
pub(crate) fn goto(href: &str) {
    let before = explorer().address.with_untracked(Address::place);
    set_address(href, History::Push);
    if before != explorer().address.with_untracked(Address::place) {
        window().scroll_to_with_x_and_y(0.0, 0.0);
    }
}

fn set_address(href: &str, history: History) {
    let Ok(entries) = window().history() else {
        return;
    };
    // Browsers refuse only when a page changes its address hundreds of times in seconds; the state is then kept without it.
    let _ = match history {
        History::Push => entries.push_state_with_url(&JsValue::NULL, "", Some(href)),
        History::Replace => entries.replace_state_with_url(&JsValue::NULL, "", Some(href)),
    };
    explorer().address.set(Address::read());
}

/// The place of this page. While the next page is coming up, the old one keeps what it had.
pub(crate) fn use_place() -> Memo<Place> {
    let address = explorer().address;
    let mine = address.with_untracked(Address::place).kind();
    Memo::new(move |before: Option<&Place>| {
        let now = address.with(Address::place);
        match before {
            Some(before) if now.kind() != mine => before.clone(),
            _ => now,
        }
    })
}

/// The dictionary that this page's path names.
pub(crate) fn use_dictionary() -> Memo<String> {
    let place = use_place();
    memo(move || place.with(|place| place.dictionary().unwrap_or_default().to_owned()))
}

/// The state of this page, read from the address, and a function that changes it there.
pub(crate) fn use_url_state<S: UrlState>()
-> (Memo<S>, impl Fn(S, History) + Copy + Send + Sync + 'static) {
    let address = explorer().address;
    let mine = address.with_untracked(Address::place).kind();
    let state = Memo::new(move |before: Option<&S>| match before {
        Some(before) if address.with(Address::place).kind() != mine => before.clone(),
        _ => address.with(|address| S::read(&address.query)),
    });
    let set = move |next: S, history: History| {
        let path = address.with_untracked(|address| address.path.clone());
        set_address(&next.href(&path), history);
    };
    (state, set)
}

/// Sets the document's title while the page is shown.
pub(crate) fn use_title(title: Signal<String>) {
    effect(move || document().set_title(&format!("{} · Stereoscope", title.get())));
}

/// After a change of page the keyboard continues at the page's beginning, not where the old page's link was.
pub(crate) fn focus_follows_page() {
    let explorer = explorer();
    let place = memo(move || explorer.address.with(Address::place));
    when_changed(place, move |_| {
        explorer.tip.set(None);
        focus("#main");
    });
}
