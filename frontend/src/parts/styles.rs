//! Styles of elements, set through the object model: the content-security policy forbids style attributes.

use leptos::web_sys::{Element, HtmlElement};
use wasm_bindgen::JsCast;

/// Gives an element a style in place of its last.
pub(crate) fn set_style(element: &Element, style: &str) {
    // Elements of HTML and SVG alike have one.
    let element: &HtmlElement = element.unchecked_ref();
    element.style().set_css_text(style);
}
