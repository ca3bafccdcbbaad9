//! Keeping a run under an address of its own.

use leptos::prelude::*;

use super::Page;
use crate::{
    nav::goto,
    net::{fetch, json::Json, request::Request},
    parts::field::Button,
    state::place::run_path,
};

/// Saves what has been generated and goes to it.
pub(super) fn save(page: Page) -> AnyView {
    let run = page.run;
    let button = Button {
        test: Some("save-run"),
        ..Button::new("Save")
    };
    let off = move || run.asked.read().is_none() || run.busy.get();
    button.unless(off, move || {
        let (Some(asked), Some(controller)) = (run.asked.get_untracked(), fetch::controller())
        else {
            return;
        };
        leptos::task::spawn_local(async move {
            let answer = fetch::success(&Request::save(&asked), &controller.signal()).await;
            match answer {
                Ok(body) => {
                    let json = Json::parse(&body).unwrap_or(Json::Null);
                    goto(&run_path(json.get("id").text().unwrap_or_default()));
                }
                Err(fault) => run.fault.set(Some(fault)),
            }
        });
    })
}
