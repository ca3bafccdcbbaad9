//! The frame around every page, and which address shows which page.

use leptos::{ev, prelude::*};
use leptos_router::{
    components::{FlatRoutes, Route, Router},
    hooks::use_location,
    path,
};

use crate::{
    explorer::Explorer,
    pages::{lab::Lab, latent::Latent, latents::Latents, missing::Missing, study::Study},
    parts::{
        footer::Footer,
        header::Header,
        keys::{focus, use_keys},
        shortcuts::ShortcutSheet,
        toast::Toasts,
        tooltip::Tooltip,
    },
};

/// The explorer.
#[component]
pub(crate) fn App() -> impl IntoView {
    Explorer::start();
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
    view! {
        <Router>
            <a class="skip" href="#main" on:click=skip>"Skip to the content"</a>
            <Header />
            <main id="main" class="page" tabindex="-1">
                <FlatRoutes fallback=Missing>
                    <Route path=path!("/") view=Study />
                    <Route path=path!("/d/:dictionary") view=Latents />
                    <Route path=path!("/d/:dictionary/l/:id") view=Latent />
                    <Route path=path!("/lab") view=Lab />
                </FlatRoutes>
            </main>
            <Footer />
            <FocusFollowsPage />
            <Tooltip />
            <Toasts />
            <ShortcutSheet />
        </Router>
    }
}

/// After a change of page the keyboard continues at the page's beginning, not where the old page's link was.
#[component]
fn FocusFollowsPage() -> impl IntoView {
    let pathname = use_location().pathname;
    let tip = crate::explorer::explorer().tip;
    Effect::new(move |before: Option<String>| {
        let now = pathname.get();
        if before.is_some_and(|before| before != now) {
            tip.set(None);
            focus("#main");
        }
        now
    });
}
