//! The frame around every page, and which address shows which page.

use leptos::{ev, prelude::*};

use crate::{
    explorer::Explorer,
    nav::{Address, focus_follows_page, follow_links},
    pages::Pages,
    parts::{
        footer::Footer,
        header::Header,
        keys::{focus, use_keys},
        live::{live, memo},
        shortcuts::ShortcutSheet,
        toast::Toasts,
        tooltip::Tooltip,
    },
};

/// The explorer.
#[component]
pub(crate) fn App(
    /// The pages of this program.
    pages: Pages,
) -> impl IntoView {
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
        let place = explorer.address.with_untracked(Address::place);
        pages(&place).or_else(|| {
            // The address is there already; the server gives it the other program.
            let _ = window().location().reload();
            None
        })
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
