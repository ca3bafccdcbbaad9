//! Light, dark, or as the system has it; remembered by the browser.

use leptos::prelude::*;

use crate::explorer::explorer;

const KEY: &str = "stereoscope.theme";
const CHOICES: [(&str, &str); 3] = [
    ("auto", "as the system"),
    ("light", "light"),
    ("dark", "dark"),
];

/// What the browser remembers.
pub(crate) fn stored() -> String {
    let storage = window().local_storage().ok().flatten();
    let value = storage.and_then(|s| s.get_item(KEY).ok().flatten());
    value.unwrap_or_else(|| "auto".into())
}

fn apply(choice: &str) {
    if let Some(root) = document().document_element() {
        let _ = if choice == "auto" {
            root.remove_attribute("data-theme")
        } else {
            root.set_attribute("data-theme", choice)
        };
    }
    if let Ok(Some(storage)) = window().local_storage() {
        // A browser that forbids storage still shows the theme until the page is closed.
        let _ = storage.set_item(KEY, choice);
    }
}

/// A button that goes through the three themes.
#[component]
pub(crate) fn ThemeSwitch() -> impl IntoView {
    let theme = explorer().theme;
    let index = move || {
        CHOICES
            .iter()
            .position(|(name, _)| *theme.read() == **name)
            .unwrap_or(0)
    };
    let name = move || CHOICES.get(index()).map_or("", |(_, words)| *words);
    let next = move |_| {
        let (choice, _) = CHOICES
            .get((index() + 1) % CHOICES.len())
            .copied()
            .unwrap_or(("auto", ""));
        apply(choice);
        theme.set(choice.to_owned());
    };
    view! {
        <button
            type="button"
            class="icon"
            data-testid="theme"
            data-choice=move || theme.get()
            aria-label=move || format!("Theme: {}. Change", name())
            title=move || format!("Theme: {}", name())
            on:click=next
        >
            <svg viewBox="0 0 20 20" aria-hidden="true">
                <circle cx="10" cy="10" r="7" class="ring" />
                <path class="half" d="M10 3a7 7 0 0 1 0 14z" />
                <circle class="full" cx="10" cy="10" r="7" />
            </svg>
        </button>
    }
    .into_any()
}
