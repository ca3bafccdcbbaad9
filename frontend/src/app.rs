//! The frame around every page, and which address shows which page.

use leptos::{ev, prelude::*};

use crate::{
    explorer::Explorer,
    nav::{Address, focus_follows_page, follow_links},
    pages::{
        lab::Lab, latent::Latent, latents::Latents, method::Method, missing::Missing,
        run::SavedRun, study::Study,
    },
    parts::{
        footer::Footer,
        header::Header,
        keys::{focus, use_keys},
        live::{live, memo},
        shortcuts::ShortcutSheet,
        toast::Toasts,
        tooltip::Tooltip,
    },
    state::place::Place,
};

/// The explorer.
#[component]
pub(crate) fn App() -> impl IntoView {
    let explorer = Explorer::start();
    follow_links(explorer.address);
    focus_follows_page();
    use_keys(|key, event| {
        if key == "/" {
            event.prevent_default();
            focus("[data-slash]");
        }
    });
    let skip = |event: ev::MouseEvent| {
        event.prevent_default();
        focus("#main");
    };
    // A page stays while only what its path names changes.
    let kind = memo(move || explorer.address.with(Address::place).kind());
    let page = live(move || {
        // Reading, not tracking: a memo that nobody reads never looks at its sources.
        kind.get();
        match explorer.address.with_untracked(Address::place) {
            Place::Study => view! { <Study /> }.into_any(),
            Place::Latents { .. } => view! { <Latents /> }.into_any(),
            Place::Latent { .. } => view! { <Latent /> }.into_any(),
            Place::Lab => view! { <Lab /> }.into_any(),
            Place::Run { .. } => view! { <SavedRun /> }.into_any(),
            Place::Method => view! { <Method /> }.into_any(),
            Place::Missing => view! { <Missing /> }.into_any(),
        }
    });
    view! {
        <a class="skip" href="#main" on:click=skip>"Skip to the content"</a>
        <Header />
        <main id="main" class="page" tabindex="-1">{page}</main>
        <Footer />
        <Tooltip />
        <Toasts />
        <ShortcutSheet />
    }
    .into_any()
}
