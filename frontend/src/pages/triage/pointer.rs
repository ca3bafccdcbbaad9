//! What pointer, wheel and keys do on the plane.

use std::time::Duration;

use leptos::{
    ev::{KeyboardEvent, PointerEvent, WheelEvent},
    prelude::*,
    web_sys::{Element, Event},
};
use wasm_bindgen::{JsCast, closure::Closure};

use super::{
    paint::ROOM,
    plane::{LINES, Mode, Plane, lasso_on},
};
use crate::{
    display::{
        axis::{View, readable, rounded_to},
        decimal::share,
        numbers::short,
    },
    explorer::explorer,
    nav::goto,
    parts::{styles::set_style, tooltip::Tip},
    state::{
        UrlState, latent::LatentState, place::latent_path, plane::column_name, triage::TriageState,
    },
};

/// Shares of the picture's width within which a point is under the pointer.
const REACH: f64 = 0.012;

/// Shares of the picture's height that a pointer moves before it drags, and between two corners of a drawn polygon.
const CORNER: f64 = 0.012;

/// How long the view stays after the last turn of a wheel before the points are drawn anew.
const REST: Duration = Duration::from_millis(180);

/// A place in shares of the picture from its lower left corner.
type At = (f64, f64);

/// What a drag does.
#[derive(Clone, Copy)]
enum Drag {
    /// Bounds both axes, from this corner.
    Brush(At),
    /// Draws a polygon, from this corner.
    Lasso(At),
    /// Moves this view by the distance from here.
    Move(View, At),
    /// Two fingers move and stretch this view, from these two places.
    Pinch(View, At, At),
    /// Moves one of [`LINES`].
    Line(usize),
}

/// What answers to the pointer.
#[derive(Clone, Copy)]
pub(super) struct Hands {
    plane: Plane,
    drag: StoredValue<Option<Drag>>,
    /// Pointers that are down, and where.
    fingers: StoredValue<Vec<(i32, At)>>,
    /// Counts movements of the view, so that the last one can be told.
    moves: StoredValue<u32>,
}

impl Hands {
    /// For this plane.
    pub(super) fn of(plane: Plane) -> Self {
        Self {
            plane,
            drag: StoredValue::new(None),
            fingers: StoredValue::new(Vec::new()),
            moves: StoredValue::new(0),
        }
    }

    /// Hears of events once the plane is in the page.
    pub(super) fn ready(self) {
        request_animation_frame(move || self.listen());
    }

    /// Hears of everything that happens on the plane: one listener is much less program than one for each kind of event.
    fn listen(self) {
        let Some(area) = self.plane.part(".plane-area") else {
            return;
        };
        let hear = Closure::<dyn Fn(Event)>::new(move |event: Event| match &*event.type_() {
            "pointerdown" => self.down(event.unchecked_ref()),
            "pointermove" => self.moved(event.unchecked_ref()),
            "pointerup" => self.up(event.unchecked_ref()),
            "pointercancel" => self.dropped(),
            "pointerleave" => explorer().hide_tip(),
            "wheel" => self.wheel(event.unchecked_ref()),
            _ => self.key(event.unchecked_ref()),
        });
        for kind in [
            "pointerdown",
            "pointermove",
            "pointerup",
            "pointercancel",
            "pointerleave",
            "wheel",
            "keydown",
        ] {
            // Fails only for names that are no names.
            let _ = area.add_event_listener_with_callback(kind, hear.as_ref().unchecked_ref());
        }
        // It lives as long as its element, which the browser looks after.
        hear.forget();
    }

    fn down(self, event: &PointerEvent) {
        if event.button() > 1 {
            return;
        }
        let (at, _) = self.place(event.client_x(), event.client_y());
        let plane = self.plane;
        let view = untrack(|| plane.view());
        self.fingers.update_value(|fingers| {
            fingers.retain(|finger| finger.0 != event.pointer_id());
            fingers.push((event.pointer_id(), at));
        });
        let fingers = self.fingers.get_value();
        let moves = event.shift_key() || event.button() == 1;
        let drag = match (line_under(event), plane.mode.get_untracked()) {
            _ if fingers.len() > 1 => {
                plane.draft.set(None);
                plane.trail.set(Vec::new());
                let first = fingers.first().map_or(at, |finger| finger.1);
                Drag::Pinch(view, first, at)
            }
            (Some(line), _) => Drag::Line(line),
            (None, mode) if moves != (mode == Mode::Move) => Drag::Move(view, at),
            (None, Mode::Lasso) => Drag::Lasso(at),
            _ => Drag::Brush(at),
        };
        self.drag.set_value(Some(drag));
        if let Some(area) = self.plane.part(".plane-area") {
            // Without it the drag only ends at the rim.
            let _ = area.set_pointer_capture(event.pointer_id());
        }
    }

    fn moved(self, event: &PointerEvent) {
        let (at, ratio) = self.place(event.client_x(), event.client_y());
        let plane = self.plane;
        self.fingers.update_value(|fingers| {
            let mine = fingers.iter_mut().find(|f| f.0 == event.pointer_id());
            if let Some(finger) = mine {
                finger.1 = at;
            }
        });
        match self.drag.get_value() {
            None => self.hover(at, ratio),
            Some(Drag::Move(view, from)) => self.look(view.moved(from.0 - at.0, from.1 - at.1)),
            Some(Drag::Pinch(view, a, b)) => {
                if let [first, second, ..] = *self.fingers.get_value() {
                    self.look(pinched(&view, (a, b), (first.1, second.1)));
                }
            }
            Some(Drag::Brush(from)) if far(from, at) || plane.draft.read_untracked().is_some() => {
                let next = untrack(|| self.brushed(from, at));
                plane.draft.set(Some(next));
            }
            Some(Drag::Brush(_)) => {}
            Some(Drag::Lasso(from)) => {
                if far(from, at) {
                    self.drag.set_value(Some(Drag::Lasso(at)));
                    let corner = untrack(|| self.corner(at));
                    plane.trail.update(|trail| trail.push(corner));
                }
            }
            Some(Drag::Line(line)) => {
                let view = untrack(|| plane.view());
                let (x, y) = view.places(at.0.clamp(0.0, 1.0), at.1.clamp(0.0, 1.0));
                let across = LINES.get(line).is_some_and(|l| l.axis == 0);
                let place = if across { x } else { y };
                plane.draft.set(untrack(|| self.with_line(line, place)));
            }
        }
    }

    fn up(self, event: &PointerEvent) {
        let drag = self.drag.get_value();
        self.fingers
            .update_value(|fingers| fingers.retain(|finger| finger.0 != event.pointer_id()));
        self.drag.set_value(None);
        let plane = self.plane;
        match drag {
            Some(Drag::Move(..) | Drag::Pinch(..)) => self.settle(),
            Some(Drag::Lasso(_)) if !plane.trail.read_untracked().is_empty() => {
                let trail = plane.trail.get_untracked();
                plane.selection.update(|state| {
                    state.lasso = lasso_on(state.plane.axes, trail);
                });
                plane.trail.set(Vec::new());
            }
            Some(_) if plane.draft.read_untracked().is_some() => self.keep(),
            Some(Drag::Brush(_) | Drag::Lasso(_)) => {
                let (at, ratio) = self.place(event.client_x(), event.client_y());
                if let Some(id) = untrack(|| self.under(at, ratio)) {
                    self.open(id as u32);
                }
            }
            _ => {}
        }
    }

    fn dropped(self) {
        self.fingers.set_value(Vec::new());
        self.drag.set_value(None);
        self.plane.draft.set(None);
        self.plane.trail.set(Vec::new());
        self.settle();
    }

    fn wheel(self, event: &WheelEvent) {
        // A reader who scrolls the page past the plane wants to get on.
        if self.plane.part(".plane-area:focus-within").is_none() && !event.ctrl_key() {
            return;
        }
        event.prevent_default();
        let (at, _) = self.place(event.client_x(), event.client_y());
        let factor = if event.delta_y() < 0.0 {
            1.2
        } else {
            1.0 / 1.2
        };
        self.look(untrack(|| self.plane.view()).zoomed(factor, at.0, at.1));
        self.settle_later();
    }

    fn key(self, event: &KeyboardEvent) {
        let plane = self.plane;
        let key = event.key();
        let (across, up) = match key.as_str() {
            "ArrowLeft" => (-1.0, 0.0),
            "ArrowRight" => (1.0, 0.0),
            "ArrowDown" => (0.0, -1.0),
            "ArrowUp" => (0.0, 1.0),
            _ => (0.0, 0.0),
        };
        let view = untrack(|| plane.view());
        match (key.as_str(), line_under(event)) {
            ("Escape", _) => {
                self.dropped();
                plane.selection.update(|state| {
                    state.lasso = None;
                    for axis in state.plane.axes {
                        state.set_range(axis.column, None, None);
                    }
                });
            }
            ("+" | "=", _) => self.look(view.zoomed(1.5, 0.5, 0.5)),
            ("-", _) => self.look(view.zoomed(1.0 / 1.5, 0.5, 0.5)),
            ("0", _) => {
                plane.moving.set(None);
                plane.drawing.set(None);
                plane.show(|state| state.view = None);
            }
            _ if across == 0.0 && up == 0.0 => return,
            (_, Some(line)) => {
                plane.draft.set(untrack(|| self.stepped(line, across + up)));
                self.keep();
            }
            (_, None) => self.look(view.moved(across / 10.0, up / 10.0)),
        }
        event.prevent_default();
        self.settle_later();
    }

    /// Shows another view: the picture slides, and is drawn anew where it ends.
    fn look(self, view: View) {
        let plane = self.plane;
        self.moves.update_value(|moves| *moves += 1);
        plane.moving.set(Some(view));
        if !untrack(|| plane.drawn()).widened(ROOM).holds(&view) {
            plane.drawing.set(Some(view));
        }
    }

    /// Keeps the view that was moved to.
    fn settle(self) {
        let plane = self.plane;
        let moved = plane.moving.try_get_untracked().flatten();
        if moved.is_some() {
            plane.show(|state| state.view = moved);
            plane.moving.set(None);
            plane.drawing.set(None);
        }
    }

    /// The same once the view has been still for a while.
    fn settle_later(self) {
        let now = self.moves.get_value();
        let still = move || {
            if self.moves.try_get_value() == Some(now) {
                self.settle();
            }
        };
        set_timeout(still, REST);
    }

    /// Makes what was dragged the selection.
    fn keep(self) {
        if let Some(next) = self.plane.draft.get_untracked() {
            self.plane.selection.change.run(next.at_the_top());
            self.plane.draft.set(None);
        }
    }

    /// The state with both axes bounded by two corners.
    fn brushed(self, from: At, to: At) -> TriageState {
        let view = self.plane.view();
        let mut next = self.plane.selection.state.get();
        let (a, b) = (view.places(from.0, from.1), view.places(to.0, to.1));
        let sides = [
            (a.0.min(b.0), a.0.max(b.0), view.x),
            (a.1.min(b.1), a.1.max(b.1), view.y),
        ];
        for (axis, (low, high, [start, end])) in next.plane.axes.into_iter().zip(sides) {
            let read = |place: f64| Some(readable(axis.scale, place, end - start));
            next.set_range(axis.column, read(low), read(high));
        }
        next
    }

    /// A corner of a polygon, with no more digits than it needs.
    fn corner(self, at: At) -> [f64; 2] {
        let view = self.plane.view();
        let (x, y) = view.places(at.0, at.1);
        let short = |place: f64, [low, high]: [f64; 2]| rounded_to(place, (high - low) / 400.0);
        [short(x, view.x), short(y, view.y)]
    }

    /// The state with a line at a place.
    fn with_line(self, line: usize, place: f64) -> Option<TriageState> {
        let of = LINES.get(line)?;
        let view = self.plane.view();
        let mut next = self.plane.selection.state.get();
        let axis = next.plane.axes[of.axis];
        let [start, end] = if of.axis == 0 { view.x } else { view.y };
        let value = Some(readable(axis.scale, place, end - start));
        let (min, max) = next.range(axis.column);
        let (min, max) = if of.upper { (min, value) } else { (value, max) };
        next.set_range(axis.column, min, max);
        Some(next)
    }

    /// The state with a line moved by a hundredth of the view.
    fn stepped(self, line: usize, steps: f64) -> Option<TriageState> {
        let of = *LINES.get(line)?;
        let axis = self.plane.state().plane.axes[of.axis];
        let view = self.plane.view();
        let [start, end] = if of.axis == 0 { view.x } else { view.y };
        let place = axis.scale.place(self.plane.line(of)?.0);
        self.with_line(line, place + steps * (end - start) / 100.0)
    }

    /// The latent under the pointer.
    fn under(self, at: At, ratio: f64) -> Option<usize> {
        let (cloud, kept) = (self.plane.cloud.get()?, self.plane.kept.get()?);
        let view = self.plane.view();
        cloud.0.nearest(&view, at, &kept.0, REACH, ratio)
    }

    fn hover(self, at: At, ratio: f64) {
        let found = untrack(|| self.under(at, ratio));
        let shown = found.and_then(|id| untrack(|| self.tip(id)));
        if shown.is_none() {
            explorer().hide_tip();
        }
    }

    /// Says what a point is.
    fn tip(self, id: usize) -> Option<()> {
        let cloud = self.plane.cloud.get()?.0;
        let (x, y) = (f64::from(*cloud.x.get(id)?), f64::from(*cloud.y.get(id)?));
        let (across, up) = self.plane.view().share(x, y);
        let mark = self.plane.part(".plane-mark")?;
        let style = format!("left:{};bottom:{}", share(across), share(up));
        set_style(&mark, &style);
        let state = self.plane.selection.state.read();
        let [first, second] = state.plane.axes;
        let row = |axis: crate::state::plane::Axis, place: f64| {
            (column_name(axis.column), short(axis.scale.value(place)))
        };
        let rows = vec![row(first, x), row(second, y)];
        let tip = Tip::new(format!("latent {id}"), "click to open", rows);
        explorer().show_tip(tip, &mark);
        Some(())
    }

    /// The event's place in shares of the picture from its lower left corner, and the picture's height by its width.
    fn place(self, x: i32, y: i32) -> (At, f64) {
        let Some(area) = self.plane.part(".plane-area") else {
            return ((0.0, 0.0), 1.0);
        };
        let rect = area.get_bounding_client_rect();
        let across = (f64::from(x) - rect.left()) / rect.width().max(1.0);
        let up = 1.0 - (f64::from(y) - rect.top()) / rect.height().max(1.0);
        ((across, up), rect.height() / rect.width().max(1.0))
    }

    fn open(self, id: u32) {
        let from = self.plane.selection.state.with_untracked(UrlState::write);
        let state = LatentState {
            from: Some(from).filter(|query| !query.is_empty()),
            ..LatentState::default()
        };
        let slug = self.plane.selection.slug.get_untracked();
        goto(&state.href(&latent_path(&slug, id)));
    }
}

/// Whether two places are far enough apart to be a drag.
fn far(a: At, b: At) -> bool {
    (a.0 - b.0).abs() > CORNER / 2.0 || (a.1 - b.1).abs() > CORNER
}

/// A view that follows two fingers from their first places to their last.
fn pinched(view: &View, (a, b): (At, At), (c, d): (At, At)) -> View {
    let apart = |a: At, b: At| (a.0 - b.0).hypot(a.1 - b.1).max(0.01);
    let middle = |a: At, b: At| (a.0.midpoint(b.0), a.1.midpoint(b.1));
    let (from, to) = (middle(a, b), middle(c, d));
    view.zoomed(apart(c, d) / apart(a, b), from.0, from.1)
        .moved(from.0 - to.0, from.1 - to.1)
}

/// The line that an event is about.
fn line_under(event: &Event) -> Option<usize> {
    let element: Element = event.target()?.dyn_into().ok()?;
    let line = element.closest("[data-line]").ok()??;
    line.get_attribute("data-line")?.parse().ok()
}
