//! The explorer in the browser: programs over the same parts, so that a first visit loads only what it shows.

// `#[component]` makes its generated types `pub`; beside its programs this crate exports nothing.
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

use pages::Pages;

/// The program of what a reader sees first: the study, and the method.
pub fn study() {
    start(pages::of_the_study);
}

/// The program of a dictionary's latents: all of them, and each.
pub fn latents() {
    start(pages::of_the_latents);
}

/// The program of everything to run: the lab and its saved runs.
pub fn lab() {
    start(pages::of_the_lab);
}

/// The program of two dictionaries compared.
pub fn compare() {
    start(pages::of_the_comparison);
}

fn start(pages: Pages) {
    std::panic::set_hook(Box::new(|panic| {
        leptos::web_sys::console::error_1(&panic.to_string().into());
        if let Some(root) = document().document_element() {
            // The style sheet then says that the page has stopped.
            let _ = root.set_attribute("data-stopped", "");
        }
    }));
    // Leptos has no executor before something is mounted.
    wasm_bindgen_futures::spawn_local(async move {
        net::early::wait().await;
        // What the page showed while the program was loading.
        if let Some(boot) = document().get_element_by_id("boot") {
            boot.remove();
        }
        mount_to_body(move || view! { <app::App pages /> });
    });
}
