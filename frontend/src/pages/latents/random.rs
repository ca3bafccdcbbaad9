//! A latent of the selection, drawn at random.

use api::LatentsPage;
use leptos::prelude::*;

use super::{Triage, table::latent_href};
use crate::{
    explorer::explorer,
    nav::goto,
    net::{answer::read, fetch, request::Request},
    parts::field::Button,
};

/// A button that opens one.
pub(super) fn button(triage: Triage) -> AnyView {
    let none = move || {
        triage
            .page
            .data
            .read()
            .as_ref()
            .is_none_or(|p| p.total == 0)
    };
    let button = Button {
        label: Some("A random latent of the selection"),
        test: Some("random"),
        ..Button::new("Random")
    };
    button.unless(none, move || open(triage))
}

/// Opens one.
pub(super) fn open(triage: Triage) {
    let total = triage
        .page
        .data
        .read_untracked()
        .as_ref()
        .map_or(0, |p| p.total);
    if total == 0 {
        return;
    }
    // From 0 up to but not 1.
    let at = (js_sys::Math::random() * total as f64) as u64;
    let state = triage.selection.state.get_untracked();
    let slug = triage.selection.slug.get_untracked();
    fetch::start(async move {
        let Some(controller) = fetch::controller() else {
            return;
        };
        let request = Request::latents(&slug, &state.rows(at, 1));
        let answer = fetch::success(&request, &controller.signal()).await.ok();
        let page: Option<LatentsPage> = answer.and_then(|body| read(&body).ok());
        match page.as_ref().and_then(|page| page.rows.first()) {
            Some(row) => goto(&latent_href(&state, &slug, row.id, at)),
            None => explorer().toast("The server does not answer; try again."),
        }
    });
}
