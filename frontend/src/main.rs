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
    // What the page showed while the program was loading.
    if let Some(boot) = document().get_element_by_id("boot") {
        boot.remove();
    }
    mount_to_body(app::App);
}
