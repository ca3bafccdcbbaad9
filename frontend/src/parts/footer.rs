//! The line below every page: what produced what is shown.

use leptos::prelude::*;

use super::live::live;
use crate::explorer::explorer;

/// Version, revision and the interface's description.
#[component]
pub(crate) fn Footer() -> impl IntoView {
    let explorer = explorer();
    let line = live(move || {
        let study = explorer.study.get()?;
        let revision: String = study.revision.chars().take(12).collect();
        Some(
            view! {
                <span>"Stereoscope " {study.version.clone()}</span>
                <span>"study revision " <code>{revision}</code></span>
                <a rel="external" href="api/v1/openapi.json">"HTTP interface"</a>
            }
            .into_any(),
        )
    });
    view! { <footer class="foot">{line}</footer> }.into_any()
}
