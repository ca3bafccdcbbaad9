//! The page for addresses that lead nowhere.

use leptos::prelude::*;

use crate::nav::use_title;

/// 404.
#[component]
pub(crate) fn Missing() -> impl IntoView {
    use_title(Signal::stored("Not found".to_owned()));
    view! {
        <section class="lost" data-testid="missing">
            <h1>"There is no such page"</h1>
            <p class="quiet">"The address leads nowhere in this study. It may be mistyped, or come from another study."</p>
            <p><a class="button" href="./">"To the study"</a></p>
        </section>
    }.into_any()
}
