//! Classes and verdicts as small labels: a shape, a word and a colour.

use api::{Class, Verdict};
use leptos::prelude::*;

use crate::display::verdict::{class_style, verdict_name};

/// The class, filled.
pub(crate) fn class_badge(class: Class) -> AnyView {
    view! { <span class=format!("chip solid {}", class_style(class))><i aria-hidden="true"></i>{class.as_str()}</span> }.into_any()
}

/// The class as a mark in the margin of a number.
pub(crate) fn class_mark(class: Class) -> AnyView {
    view! { <span class=format!("mark {}", class_style(class)) title=class.as_str()><i aria-hidden="true"></i><span class="unseen">{class.as_str()}</span></span> }
        .into_any()
}

/// The class in a table.
pub(crate) fn class_cell(class: Class) -> AnyView {
    view! { <span class=format!("tag {}", class_style(class))><i aria-hidden="true"></i>{class.as_str()}</span> }.into_any()
}

/// The verdict in a table, with its meaning as a title.
pub(crate) fn verdict_cell(verdict: Option<Verdict>) -> AnyView {
    match verdict {
        None => view! { <span class="faint">"–"</span> }.into_any(),
        Some(verdict) => {
            let short = verdict_name(verdict).trim_start_matches("suspect: ");
            let sure = verdict == Verdict::ChatSpecific;
            view! { <span class="verdict" class:sure=sure>{short}</span> }.into_any()
        }
    }
}
