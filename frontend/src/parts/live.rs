//! Parts of a page that follow signals.
//!
//! Each helper boxes its closure before Leptos sees it: the reactive machinery is then compiled once per type of value instead of once
//! per closure, which is a good part of the program's size.

use crate::parts::signal::Memo;
use leptos::prelude::*;

/// A part that is made anew whenever a signal that it reads changes.
pub(crate) fn live<V: IntoAny>(part: impl Fn() -> V + Send + 'static) -> AnyView {
    fn boxed(part: Box<dyn Fn() -> AnyView + Send>) -> AnyView {
        (move || part()).into_any()
    }
    boxed(Box::new(move || part().into_any()))
}

/// A value that is computed anew when a signal that it reads changes, and tells others only when it differs.
pub(crate) fn memo<T: PartialEq + Clone + Send + Sync + 'static>(
    value: impl Fn() -> T + Send + Sync + 'static,
) -> Memo<T> {
    Memo::new(move |_| value())
}

/// Something done now and whenever a signal that it reads changes.
pub(crate) fn effect(act: impl Fn() + 'static) {
    fn boxed(act: Box<dyn Fn()>) {
        Effect::new(move |_| act());
    }
    boxed(Box::new(act));
}

/// Does something once the next frame is on the screen.
pub(crate) fn after_paint(act: impl FnOnce() + 'static) {
    fn boxed(act: Box<dyn FnOnce()>) {
        // The frame's callback runs before that frame is painted; what it schedules runs after.
        request_animation_frame(move || set_timeout(act, std::time::Duration::ZERO));
    }
    boxed(Box::new(act));
}

/// Something done whenever `value` changes, but not at first.
pub(crate) fn when_changed<T: PartialEq + Send + Sync + Clone + 'static>(
    value: Memo<T>,
    act: impl Fn(T) + 'static,
) {
    let first = StoredValue::new(true);
    effect(move || {
        let now = value.get();
        if first.get_value() {
            first.set_value(false);
        } else {
            untrack(|| act(now));
        }
    });
}
