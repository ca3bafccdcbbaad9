//! Keyboard shortcuts of pages.

use leptos::{
    ev::{self, KeyboardEvent},
    prelude::*,
    web_sys::HtmlElement,
};
use wasm_bindgen::JsCast;

/// Calls `act` with every key pressed outside fields and without modifiers, while the component lives.
pub(crate) fn use_keys(act: impl Fn(&str, &KeyboardEvent) + 'static) {
    listen(Box::new(act));
}

type Act = dyn Fn(&str, &KeyboardEvent);

fn listen(act: Box<Act>) {
    let handle = window_event_listener(ev::keydown, move |event| {
        let typing = event
            .target()
            .and_then(|t| t.dyn_into::<HtmlElement>().ok())
            .is_some_and(|e| {
                matches!(e.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT")
                    || e.is_content_editable()
            });
        if !typing
            && !event.ctrl_key()
            && !event.meta_key()
            && !event.alt_key()
            && !event.default_prevented()
        {
            act(&event.key(), &event);
        }
    });
    on_cleanup(move || handle.remove());
}

/// Whether the event is Ctrl+Enter or ⌘+Enter.
pub(crate) fn is_submit(event: &KeyboardEvent) -> bool {
    event.key() == "Enter" && (event.ctrl_key() || event.meta_key())
}

/// Moves the keyboard's focus to the first element that the selector finds.
pub(crate) fn focus(selector: &str) {
    let found = document().query_selector(selector).ok().flatten();
    if let Some(element) = found.and_then(|e| e.dyn_into::<HtmlElement>().ok()) {
        // Fails only for elements that are gone.
        let _ = element.focus();
    }
}
