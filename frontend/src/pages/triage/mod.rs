//! Choosing latents: filters, planes of two columns, and histograms, all of one selection.

pub(super) mod controls;
pub(super) mod filters;
mod held;
mod paint;
pub(super) mod plane;
mod pointer;
pub(super) mod spread;

use leptos::prelude::*;

use crate::{parts::signal::Memo, state::triage::TriageState};

/// A dictionary, and what is selected of its latents.
#[derive(Clone, Copy)]
pub(super) struct Selection {
    /// The dictionary.
    pub(super) slug: Memo<String>,
    /// What the address says.
    pub(super) state: Memo<TriageState>,
    /// Changes what it says.
    pub(super) change: Callback<TriageState>,
    /// The same without a step in the browser's history.
    pub(super) keep: Callback<TriageState>,
}

impl Selection {
    /// Changes filter or order, from the first row on.
    pub(super) fn update(self, change: impl FnOnce(&mut TriageState)) {
        let mut next = self.state.get_untracked().at_the_top();
        change(&mut next);
        self.change.run(next);
    }
}
