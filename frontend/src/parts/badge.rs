//! Classes as small labels: a shape, a word and a colour.

use api::Class;
use leptos::prelude::*;

use crate::display::{decimal, verdict::class_style};

/// The shape of a class and words beside it.
pub(crate) fn tag(style: &'static str, words: &'static str) -> AnyView {
    view! { <span class=format!("tag {style}")><i aria-hidden="true"></i>{words}</span> }.into_any()
}

/// The class in a table.
pub(crate) fn class_cell(class: Class) -> AnyView {
    tag(class_style(class), class.as_str())
}

/// The class, filled.
pub(crate) fn class_badge(class: Class) -> AnyView {
    view! { <span class=format!("chip solid {}", class_style(class))><i aria-hidden="true"></i>{class.as_str()}</span> }.into_any()
}

/// The class as a mark in the margin of a number.
pub(crate) fn class_mark(class: Class) -> AnyView {
    view! {
        <span class=format!("mark {}", class_style(class)) title=class.as_str()>
            <i aria-hidden="true"></i>
            <span class="unseen">{class.as_str()}</span>
        </span>
    }
    .into_any()
}

/// The link to a latent: its class, id and label.
pub(crate) fn latent_link(
    href: String,
    id: u32,
    class: Option<Class>,
    label: Option<String>,
) -> AnyView {
    let mark = class.map(class_mark);
    let label = label.map(|label| view! { <span class="label">{label}</span> }.into_any());
    view! { <a href=href class="open" data-row="">{mark}<span class="mono">{id}</span>{label}</a> }
        .into_any()
}

/// A share as a bar, for those who see it; the number stands beside it.
pub(crate) fn meter(share: f64) -> AnyView {
    let width = decimal::share(share.clamp(0.0, 1.0));
    view! { <span class="meter" aria-hidden="true"><b style=("width", width)></b></span> }
        .into_any()
}

/// A line of a list with a bar behind its words and a number at its end.
pub(crate) fn bar_line(words: String, share: f64, number: String) -> AnyView {
    let width = decimal::share(share.clamp(0.0, 1.0));
    view! { <li><span class="bar-behind" style=("--v", width)>{words}</span><span class="num">{number}</span></li> }.into_any()
}

/// A number with its name below it.
pub(crate) fn stat(value: AnyView, name: AnyView) -> AnyView {
    view! { <div class="stat"><b>{value}</b><span>{name}</span></div> }.into_any()
}
