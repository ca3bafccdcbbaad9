//! The selection as a file, or as a command that fetches it.

use leptos::prelude::*;

use super::Triage;
use crate::{
    net::request::Request,
    parts::{field::Button, live::live, share::copy},
};

const FORMATS: [(&str, &str); 3] = [("csv", "CSV"), ("json", "JSON"), ("parquet", "Parquet")];

/// A folded menu.
pub(super) fn menu(triage: Triage) -> AnyView {
    let path = move |format: &str| {
        let selection = triage.selection.state.read().selection();
        Request::export(&triage.selection.slug.read(), format, &selection).path
    };
    let files = live(move || {
        let file = |(format, words)| {
            view! { <a class="button" href=path(format) download data-testid=format!("export-{format}")>{words}</a> }.into_any()
        };
        FORMATS.map(file).collect_view()
    });
    let address = move || {
        let base = document().base_uri().ok().flatten();
        base.unwrap_or_default() + &untrack(|| path("parquet"))
    };
    let curl = move || {
        let words = format!("curl -o latents.parquet '{}'", address());
        copy(words, "Command copied: it fetches this selection.");
    };
    let python = move || {
        let words = format!(
            "import pandas as pd\n\nlatents = pd.read_parquet(\"{}\")\n",
            address()
        );
        copy(words, "Python copied: it reads this selection.");
    };
    let button = |words, test| Button {
        test: Some(test),
        ..Button::new(words)
    };
    view! {
        <details class="menu" data-testid="export">
            <summary class="button">"Export"</summary>
            <div class="menu-list">
                <p class="small quiet">"This selection, in this order, every column."</p>
                <div class="line">{files}</div>
                <div class="line">{button("Copy as curl", "copy-curl").doing(curl)}{button("Copy as Python", "copy-python").doing(python)}</div>
            </div>
        </details>
    }
    .into_any()
}
