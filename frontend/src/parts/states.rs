//! Waiting, failing and having nothing to show.

use std::sync::Arc;

use leptos::prelude::*;

use super::{field::Button, live::live};
use crate::net::{
    fault::Fault,
    load::{Load, Waiting},
};

/// Grey lines where text will be.
pub(crate) fn skeleton(lines: usize) -> AnyView {
    let lines = (0..lines)
        .map(|_| view! { <i></i> }.into_any())
        .collect_view();
    view! { <div class="skeleton" role="status" aria-label="loading">{lines}</div> }.into_any()
}

/// What went wrong, what to do, and a way to try again where that can help.
pub(crate) fn fault_note(fault: &Fault, again: Option<Waiting>) -> AnyView {
    let again = again
        .filter(|_| fault.may_pass())
        .map(|waiting| Button::new("Try again").doing(move || waiting.reload()));
    view! {
        <div class="note bad" role="alert" data-testid="problem">
            <p><b>{fault.title()}</b></p>
            <p>{fault.detail()}</p>
            {again}
        </div>
    }
    .into_any()
}

/// A sentence on something that is wrong with the address.
pub(crate) fn wrong(text: String) -> AnyView {
    view! { <p class="note bad" role="alert" data-testid="problem">{text}</p> }.into_any()
}

/// A sentence on something that is missing.
pub(crate) fn warning(text: String) -> AnyView {
    view! { <p class="note warn">{text}</p> }.into_any()
}

/// A sentence where there is nothing else.
pub(crate) fn empty(text: impl Into<String>) -> AnyView {
    view! { <p class="empty">{text.into()}</p> }.into_any()
}

/// The data with `show`, the fault if there is one, or grey lines while waiting for the first answer.
pub(crate) fn loaded<T: Send + Sync + 'static>(
    load: Load<T>,
    lines: usize,
    show: impl Fn(Arc<T>) -> AnyView + Send + 'static,
) -> AnyView {
    live(move || match (load.state.fault.get(), load.data.get()) {
        (Some(fault), _) => fault_note(&fault, Some(load.state)),
        (None, Some(data)) => show(data),
        (None, None) => skeleton(lines),
    })
}
