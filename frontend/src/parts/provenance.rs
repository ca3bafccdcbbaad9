//! Where the numbers of a page come from, in one line.

use api::{DictionaryInfo, StudyInfo};
use leptos::prelude::*;

use crate::display::numbers::{fixed, rough};

/// Dictionary, models, layer, tokens, quality and orientation.
pub(crate) fn provenance(study: &StudyInfo, dictionary: &DictionaryInfo) -> AnyView {
    let mut facts: Vec<(&str, String)> = Vec::new();
    let kind = match dictionary.k {
        Some(k) => format!("{} ({}, k {k})", dictionary.slug, dictionary.kind),
        None => format!("{} ({})", dictionary.slug, dictionary.kind),
    };
    facts.push(("dictionary", kind));
    if let (Some(base), Some(chat)) = (&study.base, &study.chat) {
        facts.push(("models", format!("{} → {}", base.name, chat.name)));
    }
    facts.push(("after block", study.layer.to_string()));
    if let Some(tokens) = dictionary.tokens {
        facts.push(("analysed", format!("{} tokens", rough(tokens))));
    }
    let training = dictionary.training.as_ref();
    if let Some([base, chat]) = training.and_then(|t| t.fve) {
        facts.push((
            "FVE",
            format!("{} base, {} chat", fixed(base, 3), fixed(chat, 3)),
        ));
    }
    if let Some(l0) = training.and_then(|t| t.l0) {
        facts.push(("L0", fixed(l0, 1)));
    }
    facts.push(("Δ_norm", "1 = chat-only, 0 = base-only".into()));
    strip(facts)
}

/// Names and values side by side.
pub(crate) fn strip<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> AnyView {
    let fact = |(name, value): (&str, String)| {
        view! { <span>{name.to_owned()} " " <b>{value}</b></span> }.into_any()
    };
    let facts = facts.into_iter().map(fact).collect_view();
    view! { <p class="provenance" data-testid="provenance">{facts}</p> }.into_any()
}
