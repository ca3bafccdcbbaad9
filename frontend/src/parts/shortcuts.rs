//! The sheet of keyboard shortcuts.

use crate::parts::live::effect;
use leptos::{html::Dialog, prelude::*};

use super::keys::use_keys;
use crate::explorer::explorer;

const SHEET: &[(&str, &[(&str, &str)])] = &[
    (
        "Everywhere",
        &[
            ("?", "this sheet"),
            ("/", "to the search or prompt field"),
            ("Esc", "close the tooltip or this sheet"),
        ],
    ),
    (
        "Tokens and curves",
        &[
            ("← →", "previous, next token or step"),
            ("Home End", "first, last"),
        ],
    ),
    (
        "Latents",
        &[
            ("j k", "next, previous row"),
            ("Enter", "open the latent"),
            ("1 – 5, 0", "rate the row’s latent, clear its rating"),
            ("s", "steer with the row’s latent"),
            ("r", "a random latent of the selection"),
            ("Shift + click", "sort by one more column"),
        ],
    ),
    (
        "A latent",
        &[
            ("j k", "next, previous latent"),
            ("s", "steer with it"),
            ("1 – 5, 0", "rate it, clear the rating"),
            ("t m", "tags, remark; Esc leaves the field"),
        ],
    ),
    (
        "Lab",
        &[
            ("Ctrl + Enter", "read the prompt"),
            ("g", "generate, or stop"),
        ],
    ),
];

/// A dialog that `?` opens.
#[component]
pub(crate) fn ShortcutSheet() -> impl IntoView {
    let explorer = explorer();
    let dialog = NodeRef::<Dialog>::new();
    use_keys(move |key, _| {
        if key == "?" {
            explorer.shortcuts.set(true);
        }
    });
    effect(move || {
        if let (true, Some(dialog)) = (explorer.shortcuts.get(), dialog.get()) {
            // Throws only when it is already open.
            let _ = dialog.show_modal();
        }
    });
    let close = move |_| {
        if let Some(dialog) = dialog.get_untracked() {
            dialog.close();
        }
    };
    let groups = SHEET
        .iter()
        .map(|(name, keys)| {
            let keys = keys
                .iter()
                .map(|(key, does)| view! { <dt><kbd>{*key}</kbd></dt><dd>{*does}</dd> }.into_any())
                .collect_view();
            view! { <section><h3>{*name}</h3><dl>{keys}</dl></section> }.into_any()
        })
        .collect_view();
    view! {
        <dialog node_ref=dialog class="sheet" aria-labelledby="sheet-title" on:close=move |_| explorer.shortcuts.set(false)>
            <header>
                <h2 id="sheet-title">"Keyboard"</h2>
                <button type="button" class="aside" on:click=close>"Close"</button>
            </header>
            <div class="groups">{groups}</div>
        </dialog>
    }.into_any()
}
