//! The table that says what a chart shows, made when it is opened.

use crate::parts::signal::RwSignal;
use leptos::{ev, prelude::*, web_sys::Element};
use wasm_bindgen::JsCast;

/// A folded table, as markup.
pub(crate) fn twin(table: impl Fn() -> String + Send + Sync + 'static) -> AnyView {
    fn boxed(table: Box<dyn Fn() -> String + Send + Sync>) -> AnyView {
        let open = RwSignal::new(false);
        let toggled = move |event: ev::Event| {
            let details = event.target().and_then(|t| t.dyn_into::<Element>().ok());
            open.set(details.is_some_and(|d| d.has_attribute("open")));
        };
        let markup = move || {
            if open.get() { table() } else { String::new() }
        };
        view! {
            <details class="twin" on:toggle=toggled>
                <summary>"Data table"</summary>
                <div class="scroll" tabindex="0" role="group" aria-label="Data table, scrolling" inner_html=markup></div>
            </details>
        }
        .into_any()
    }
    boxed(Box::new(table))
}
