//! Styles of elements, set through the object model: the content-security policy forbids style attributes.

use leptos::web_sys::{Element, HtmlElement};
use wasm_bindgen::JsCast;

/// Gives an element a style in place of its last.
pub(crate) fn set_style(element: &Element, style: &str) {
    // Elements of HTML and SVG alike have one.
    let element: &HtmlElement = element.unchecked_ref();
    element.style().set_css_text(style);
}

/// Sets the styles that markup brought to the elements of a selector at once, where something is measured before the page sets them.
pub(crate) fn settle(within: &Element, selector: &str) {
    let Ok(found) = within.query_selector_all(selector) else {
        return;
    };
    for i in 0..found.length() {
        let Some(element) = found.item(i) else {
            continue;
        };
        let element: &Element = element.unchecked_ref();
        set_style(
            element,
            &element.get_attribute("data-style").unwrap_or_default(),
        );
    }
}
