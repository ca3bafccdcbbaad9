//! The method's symbols as they are printed.

use leptos::prelude::*;

/// A symbol of the method set in type, or the plain words.
pub(crate) fn symbol(name: &'static str) -> AnyView {
    let (letter, raised, index) = match name {
        "ν^ε" => ("ν", "ε", ""),
        "ν^r" => ("ν", "r", ""),
        "Δ_norm" => ("Δ", "", "norm"),
        plain => return plain.into_any(),
    };
    view! { <span class="symbol" aria-label=name>{letter}<sup>{raised}</sup><sub>{index}</sub></span> }.into_any()
}
