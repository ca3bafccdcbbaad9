//! Short messages that go away by themselves.

use std::time::Duration;

use leptos::prelude::*;

use super::live::live;
use crate::explorer::{Explorer, explorer};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toast {
    id: u32,
    text: &'static str,
}

impl Explorer {
    /// Shows a message for a few seconds.
    pub(crate) fn toast(self, text: &'static str) {
        let id = self
            .toasts
            .with_untracked(|toasts| toasts.last().map_or(0, |t| t.id + 1));
        self.toasts.update(|toasts| toasts.push(Toast { id, text }));
        let remove = move || self.toasts.update(|toasts| toasts.retain(|t| t.id != id));
        set_timeout(remove, Duration::from_secs(4));
    }
}

/// The messages, and what is only said to screen readers.
#[component]
pub(crate) fn Toasts() -> impl IntoView {
    let explorer = explorer();
    let shown = live(move || {
        explorer
            .toasts
            .get()
            .into_iter()
            .map(|toast| view! { <p>{toast.text}</p> }.into_any())
            .collect_view()
    });
    view! {
        <div class="toasts" role="status" aria-live="polite" data-testid="toasts">{shown}</div>
        <div class="unseen" aria-live="polite" data-testid="announcement">{move || explorer.announcement.get()}</div>
    }.into_any()
}
