//! The one tooltip: opened by hover, focus or tap, held open by the pointer, closed by Escape.

use std::time::Duration;

use leptos::{ev, prelude::*, web_sys::Element};

use super::live::live;
use crate::{
    display::decimal::rounded,
    explorer::{Explorer, explorer},
};

/// What the tooltip says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tip {
    /// A token or another short name, in the fixed-width type.
    pub(crate) head: String,
    /// A line below it.
    pub(crate) place: String,
    /// Names and values.
    pub(crate) rows: Vec<(&'static str, String)>,
    x: f64,
    y: f64,
    below: bool,
}

impl Tip {
    /// A tip without its place on the screen.
    pub(crate) fn new(
        head: impl Into<String>,
        place: impl Into<String>,
        rows: Vec<(&'static str, String)>,
    ) -> Self {
        Self {
            head: head.into(),
            place: place.into(),
            rows,
            ..Self::default()
        }
    }
}

impl Explorer {
    /// Shows the tip above the element, or below it where there is no room.
    pub(crate) fn show_tip(self, mut tip: Tip, at: &Element) {
        // A token that wraps has several boxes; its first line is where the eye is.
        let rect = at
            .get_client_rects()
            .item(0)
            .unwrap_or_else(|| at.get_bounding_client_rect());
        let width = window()
            .inner_width()
            .ok()
            .and_then(|w| w.as_f64())
            .unwrap_or(1024.0);
        let margin = (width / 2.0).min(150.0);
        // Not `clamp`: for bounds known at run time it carries the library's way of printing numbers.
        tip.x = f64::midpoint(rect.left(), rect.right())
            .min(width - margin)
            .max(margin);
        tip.below = rect.top() < 150.0;
        tip.y = if tip.below {
            rect.bottom() + 4.0
        } else {
            rect.top() - 4.0
        };
        self.tip_held.set(false);
        self.tip.set(Some(tip));
    }

    /// Hides the tip soon, unless the pointer moves onto it.
    pub(crate) fn hide_tip(self) {
        let shown = self.tip.get_untracked();
        let hide = move || {
            if !self.tip_held.get_untracked() && self.tip.get_untracked() == shown {
                self.tip.set(None);
            }
        };
        set_timeout(hide, Duration::from_millis(120));
    }
}

/// The tooltip's element.
#[component]
pub(crate) fn Tooltip() -> impl IntoView {
    let explorer = explorer();
    let escape = window_event_listener(ev::keydown, move |event| {
        if event.key() == "Escape" {
            explorer.tip.set(None);
        }
    });
    let scrolled = window_event_listener(ev::scroll, move |_| explorer.tip.set(None));
    on_cleanup(move || {
        escape.remove();
        scrolled.remove();
    });
    let leave = move |_| {
        explorer.tip_held.set(false);
        explorer.hide_tip();
    };
    live(move || {
        let tip = explorer.tip.get()?;
        let rows = tip
            .rows
            .into_iter()
            .map(|(name, value)| view! { <dt>{name}</dt><dd>{value}</dd> }.into_any())
            .collect_view();
        Some(
            view! {
                <div
                    class="tip"
                    class:below=tip.below
                    id="tooltip"
                    role="tooltip"
                    data-testid="tooltip"
                    style=("left", format!("{}px", rounded(tip.x, 0)))
                    style=("top", format!("{}px", rounded(tip.y, 0)))
                    on:pointerenter=move |_| explorer.tip_held.set(true)
                    on:pointerleave=leave
                >
                    <b>{tip.head}</b>
                    <p>{tip.place}</p>
                    <dl>{rows}</dl>
                </div>
            }
            .into_any(),
        )
    })
}
