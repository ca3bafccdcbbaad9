//! Parts of a page that follow signals.

use leptos::prelude::*;

/// A part that is made anew whenever a signal that it reads changes.
///
/// Every such part has one type, whatever it shows: this keeps the program small.
pub(crate) fn live<V: IntoAny>(part: impl Fn() -> V + Send + 'static) -> AnyView {
    fn boxed(part: Box<dyn Fn() -> AnyView + Send>) -> AnyView {
        (move || part()).into_any()
    }
    boxed(Box::new(move || part().into_any()))
}
