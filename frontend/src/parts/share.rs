//! Copying: the page's address, which is the page's whole state, and other texts.

use leptos::{
    prelude::*,
    web_sys::{HtmlDocument, HtmlTextAreaElement},
};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;

use super::field::Button;
use crate::explorer::explorer;

/// A button that copies the address.
pub(crate) fn share() -> AnyView {
    let button = Button {
        test: Some("share"),
        ..Button::new("Share")
    };
    button.doing(move || {
        let address = window().location().href().unwrap_or_default();
        copy(address, "Link copied: it reproduces this view.");
    })
}

/// Copies a text and says so.
pub(crate) fn copy(text: String, said: &'static str) {
    let explorer = explorer();
    crate::net::fetch::start(async move {
        explorer.toast(if copy_text(&text).await {
            said
        } else {
            "The browser refused to copy."
        });
    });
}

async fn copy_text(text: &str) -> bool {
    // The clipboard exists on secure origins only; elsewhere a selected field and the old command do.
    if window().is_secure_context() {
        let promise = window().navigator().clipboard().write_text(text);
        if JsFuture::from(promise).await.is_ok() {
            return true;
        }
    }
    copy_by_selection(text).unwrap_or(false)
}

fn copy_by_selection(text: &str) -> Option<bool> {
    let document = document();
    let field: HtmlTextAreaElement = document.create_element("textarea").ok()?.dyn_into().ok()?;
    field.set_value(text);
    document.body()?.append_child(&field).ok()?;
    field.select();
    let copied = document
        .dyn_ref::<HtmlDocument>()?
        .exec_command("copy")
        .unwrap_or(false);
    field.remove();
    Some(copied)
}
