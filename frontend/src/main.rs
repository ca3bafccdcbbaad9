//! The explorer in the browser.

// `#[component]` makes its generated types `pub`; this program exports nothing.
#![allow(unreachable_pub)]

mod app;
mod display;
mod explorer;
mod nav;
mod net;
mod pages;
mod parts;
mod state;

use leptos::prelude::*;

fn main() {
    std::panic::set_hook(Box::new(|panic| {
        leptos::web_sys::console::error_1(&panic.to_string().into());
        if let Some(root) = document().document_element() {
            // The style sheet then says that the page has stopped.
            let _ = root.set_attribute("data-stopped", "");
        }
    }));
    // What the page showed while the program was loading.
    if let Some(boot) = document().get_element_by_id("boot") {
        boot.remove();
    }
    mount_to_body(app::App);
}
