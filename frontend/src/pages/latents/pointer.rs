//! Drawing the plane, and what pointer, wheel and keys do on it.

use leptos::{
    ev::{KeyboardEvent, PointerEvent, WheelEvent},
    prelude::*,
    web_sys::{CanvasRenderingContext2d, Element, Event, HtmlCanvasElement, ImageData},
};
use wasm_bindgen::{Clamped, JsCast, closure::Closure};

use super::plane::{LINES, Plane, bounded, grid};
use crate::{
    display::{
        axis::View,
        cloud::Picture,
        decimal::{share, shortest},
        numbers::{short, tick},
    },
    explorer::explorer,
    nav::goto,
    parts::{live::effect, tooltip::Tip},
    state::{
        UrlState, latent::LatentState, place::latent_path, plane::column_name, triage::TriageState,
    },
};

/// Shares of the picture's width within which a point is under the pointer.
const REACH: f64 = 0.012;

/// What a drag does.
#[derive(Clone, Copy)]
enum Drag {
    /// Bounds both axes, from this corner.
    Brush((f64, f64)),
    /// Moves this view by the distance from here.
    Move(View, (f64, f64)),
    /// Moves one of [`LINES`].
    Line(usize),
}

/// What answers to the pointer.
#[derive(Clone, Copy)]
pub(super) struct Hands {
    plane: Plane,
    drag: StoredValue<Option<Drag>>,
}

/// The element of the plane that a selector names; nothing once the page is another.
fn part(selector: &str) -> Option<Element> {
    document().query_selector(selector).ok()?
}

/// Draws the points, and sets everything over them that changes.
fn paint(plane: Plane) -> Option<()> {
    let canvas: HtmlCanvasElement = part(".plane-area > canvas")?.dyn_into().ok()?;
    let (scene, view) = (plane.scene.get()?, plane.view());
    let ratio = window().device_pixel_ratio();
    let size = |length: i32| (f64::from(length) * ratio) as u32;
    let (width, height) = (size(canvas.client_width()), size(canvas.client_height()));
    let mut picture = Picture::new(width as usize, height as usize);
    scene
        .cloud
        .draw(&mut picture, &view, &scene.kept, &colours()?);
    if canvas.width() != width || canvas.height() != height {
        canvas.set_width(width);
        canvas.set_height(height);
    }
    let context = canvas.get_context("2d").ok()??;
    let context: CanvasRenderingContext2d = context.dyn_into().ok()?;
    let pixels = Clamped(picture.pixels.as_slice());
    let image = ImageData::new_with_u8_clamped_array_and_sh(pixels, width, height).ok()?;
    context.put_image_data(&image, 0.0, 0.0).ok()?;

    let axes = plane.triage.state.read().plane.axes;
    part(".plane-grid")?.set_inner_html(&grid(&view, axes));
    for (selector, axis) in [(".plane-x", axes[0]), (".plane-y", axes[1])] {
        part(selector)?.set_text_content(Some(column_name(axis.column)));
    }
    // Names and values of attributes are well-formed, so that setting them cannot fail.
    let inside = bounded(plane).map_or("display:none".into(), |inset| format!("inset:{inset}"));
    let _ = part(".plane-box")?.set_attribute("style", &inside);
    for (i, line) in LINES.into_iter().enumerate() {
        let element = part(&format!("[data-line=\"{i}\"]"))?;
        let axis = axes[line.axis];
        let found = plane.line(line).and_then(|(value, set)| {
            let place = axis.scale.place(value);
            let (across, up) = view.share(place, place);
            let at = if line.axis == 0 { across } else { up };
            (0.0..=1.0).contains(&at).then_some((at, value, set))
        });
        let Some((at, value, set)) = found else {
            let _ = element.set_attribute("style", "display:none");
            continue;
        };
        let side = if line.upper { "at most" } else { "at least" };
        let name = format!("{} {side}", column_name(axis.column));
        for (attribute, value) in [
            ("style", format!("--at:{}", share(at))),
            ("aria-label", name),
            ("aria-valuenow", shortest(value)),
            ("data-value", tick(value)),
            ("data-set", set.to_string()),
        ] {
            let _ = element.set_attribute(attribute, &value);
        }
    }
    Some(())
}

/// The legend's colours, as the style sheet has them for the theme.
fn colours() -> Option<Vec<[u8; 3]>> {
    let signs = document().query_selector_all("[data-look]").ok()?;
    let colour = |i: u32| {
        let sign: Element = signs.item(i)?.dyn_into().ok()?;
        let style = window().get_computed_style(&sign).ok()??;
        let said = style.get_property_value("color").ok()?;
        let mut parts = said
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|part| part.parse().ok());
        Some([parts.next()?, parts.next()?, parts.next()?])
    };
    (0..signs.length()).map(colour).collect()
}

impl Hands {
    /// For this plane.
    pub(super) fn of(plane: Plane) -> Self {
        Self {
            plane,
            drag: StoredValue::new(None),
        }
    }

    /// Paints now and whenever what is seen changes, at most once for each frame.
    pub(super) fn draw(self) {
        let plane = self.plane;
        let waiting = StoredValue::new(false);
        let later = move || {
            if waiting.try_get_value() != Some(false) {
                return;
            }
            waiting.set_value(true);
            request_animation_frame(move || {
                if waiting.try_set_value(false).is_none() {
                    untrack(|| paint(plane));
                }
            });
        };
        effect(move || {
            plane.scene.track();
            plane.view();
            explorer().theme.track();
            later();
        });
        let resized = window_event_listener(leptos::ev::resize, move |_| later());
        on_cleanup(move || resized.remove());
        request_animation_frame(move || self.listen());
    }

    /// Hears of everything that happens on the plane: one listener is much less program than one for each kind of event.
    fn listen(self) {
        let Some(area) = part(".plane-area") else {
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

    /// The event's place in shares of the picture from its lower left corner, and the picture's height by its width.
    fn place(self, x: i32, y: i32) -> ((f64, f64), f64) {
        let Some(area) = part(".plane-area") else {
            return ((0.0, 0.0), 1.0);
        };
        let rect = area.get_bounding_client_rect();
        let across = (f64::from(x) - rect.left()) / rect.width().max(1.0);
        let up = 1.0 - (f64::from(y) - rect.top()) / rect.height().max(1.0);
        ((across, up), rect.height() / rect.width().max(1.0))
    }

    pub(super) fn down(self, event: &PointerEvent) {
        if event.button() > 1 {
            return;
        }
        let (at, _) = self.place(event.client_x(), event.client_y());
        let plane = self.plane;
        let hand = plane.hand.get_untracked() != (event.shift_key() || event.button() == 1);
        let drag = match line_under(event) {
            Some(line) => Drag::Line(line),
            None if hand => Drag::Move(untrack(|| plane.view()), at),
            None => Drag::Brush(at),
        };
        self.drag.set_value(Some(drag));
        if let Some(area) = part(".plane-area") {
            // Without it the drag only ends at the rim.
            let _ = area.set_pointer_capture(event.pointer_id());
        }
    }

    pub(super) fn moved(self, event: &PointerEvent) {
        let (at, ratio) = self.place(event.client_x(), event.client_y());
        let plane = self.plane;
        match self.drag.get_value() {
            None => self.hover(at, ratio),
            Some(Drag::Move(view, from)) => {
                let mut next = plane.triage.state.get_untracked();
                next.plane.view = Some(view.moved(from.0 - at.0, from.1 - at.1));
                plane.draft.set(Some(next));
            }
            Some(Drag::Brush(from)) if far(from, at) || plane.draft.read_untracked().is_some() => {
                let next = untrack(|| self.brushed(from, at));
                plane.draft.set(Some(next));
            }
            Some(Drag::Brush(_)) => {}
            Some(Drag::Line(line)) => {
                let view = untrack(|| plane.view());
                let (x, y) = view.places(at.0.min(1.0).max(0.0), at.1.min(1.0).max(0.0));
                let place = if LINES.get(line).is_some_and(|l| l.axis == 0) {
                    x
                } else {
                    y
                };
                plane.draft.set(untrack(|| self.with_line(line, place)));
            }
        }
    }

    pub(super) fn up(self, event: &PointerEvent) {
        let drag = self.drag.get_value();
        self.drag.set_value(None);
        let plane = self.plane;
        match drag {
            Some(Drag::Move(..)) => {
                if let Some(next) = plane.draft.get_untracked() {
                    plane.triage.keep.run(next);
                    plane.draft.set(None);
                }
            }
            Some(_) if plane.draft.read_untracked().is_some() => self.keep(),
            Some(Drag::Brush(_)) => {
                let (at, ratio) = self.place(event.client_x(), event.client_y());
                if let Some(id) = untrack(|| self.under(at, ratio)) {
                    self.open(id as u32);
                }
            }
            _ => {}
        }
    }

    pub(super) fn dropped(self) {
        self.drag.set_value(None);
        self.plane.draft.set(None);
    }

    pub(super) fn wheel(self, event: &WheelEvent) {
        // A reader who scrolls the page past the plane wants to get on.
        if part(".plane-area:focus-within").is_none() && !event.ctrl_key() {
            return;
        }
        event.prevent_default();
        let (at, _) = self.place(event.client_x(), event.client_y());
        let factor = if event.delta_y() < 0.0 {
            1.2
        } else {
            1.0 / 1.2
        };
        let view = untrack(|| self.plane.view()).zoomed(factor, at.0, at.1);
        self.plane.show(|state| state.view = Some(view));
    }

    pub(super) fn key(self, event: &KeyboardEvent) {
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
                plane.triage.update(|state| {
                    for axis in state.plane.axes {
                        state.set_range(axis.column, None, None);
                    }
                });
            }
            ("+" | "=", _) => plane.show(|state| state.view = Some(view.zoomed(1.5, 0.5, 0.5))),
            ("-", _) => plane.show(|state| state.view = Some(view.zoomed(1.0 / 1.5, 0.5, 0.5))),
            ("0", _) => plane.show(|state| state.view = None),
            _ if across == 0.0 && up == 0.0 => return,
            (_, Some(line)) => {
                plane.draft.set(untrack(|| self.stepped(line, across + up)));
                self.keep();
            }
            (_, None) => {
                let view = view.moved(across / 10.0, up / 10.0);
                plane.show(|state| state.view = Some(view));
            }
        }
        event.prevent_default();
    }

    /// Makes what was dragged the selection.
    fn keep(self) {
        if let Some(next) = self.plane.draft.get_untracked() {
            self.plane.triage.change.run(next.at_the_top());
            self.plane.draft.set(None);
        }
    }

    /// The state with both axes bounded by two corners.
    fn brushed(self, from: (f64, f64), to: (f64, f64)) -> TriageState {
        let view = self.plane.view();
        let mut next = self.plane.triage.state.get();
        let (a, b) = (view.places(from.0, from.1), view.places(to.0, to.1));
        let sides = [
            (a.0.min(b.0), a.0.max(b.0), view.x),
            (a.1.min(b.1), a.1.max(b.1), view.y),
        ];
        for (axis, (low, high, [start, end])) in next.plane.axes.into_iter().zip(sides) {
            let read = |place: f64| Some(axis.scale.readable(place, end - start));
            next.set_range(axis.column, read(low), read(high));
        }
        next
    }

    /// The state with a line at a place.
    fn with_line(self, line: usize, place: f64) -> Option<TriageState> {
        let of = LINES.get(line)?;
        let view = self.plane.view();
        let mut next = self.plane.triage.state.get();
        let axis = next.plane.axes[of.axis];
        let [start, end] = if of.axis == 0 { view.x } else { view.y };
        let value = Some(axis.scale.readable(place, end - start));
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
    fn under(self, at: (f64, f64), ratio: f64) -> Option<usize> {
        let scene = self.plane.scene.get()?;
        let view = self.plane.view();
        scene.cloud.nearest(&view, at, &scene.kept, REACH, ratio)
    }

    fn hover(self, at: (f64, f64), ratio: f64) {
        let found = untrack(|| self.under(at, ratio));
        let shown = found.and_then(|id| untrack(|| self.tip(id)));
        if shown.is_none() {
            explorer().hide_tip();
        }
    }

    /// Says what a point is.
    fn tip(self, id: usize) -> Option<()> {
        let scene = self.plane.scene.get()?;
        let cloud = &scene.cloud;
        let (x, y) = (f64::from(*cloud.x.get(id)?), f64::from(*cloud.y.get(id)?));
        let (across, up) = self.plane.view().share(x, y);
        let mark = part(".plane-mark")?;
        let style = format!("left:{};bottom:{}", share(across), share(up));
        mark.set_attribute("style", &style).ok()?;
        let state = self.plane.triage.state.read();
        let [first, second] = state.plane.axes;
        let row = |axis: crate::state::plane::Axis, place: f64| {
            (column_name(axis.column), short(axis.scale.value(place)))
        };
        let rows = vec![row(first, x), row(second, y)];
        let tip = Tip::new(format!("latent {id}"), "click to open", rows);
        explorer().show_tip(tip, &mark);
        Some(())
    }

    fn open(self, id: u32) {
        let from = self.plane.triage.state.with_untracked(UrlState::write);
        let state = LatentState {
            from: Some(from).filter(|query| !query.is_empty()),
            ..LatentState::default()
        };
        let slug = self.plane.triage.slug.get_untracked();
        goto(&state.href(&latent_path(&slug, id)));
    }
}

/// Whether two places are far enough apart to be a drag.
fn far(a: (f64, f64), b: (f64, f64)) -> bool {
    (a.0 - b.0).abs() > 0.006 || (a.1 - b.1).abs() > 0.01
}

/// The line that an event is about.
fn line_under(event: &Event) -> Option<usize> {
    let element: Element = event.target()?.dyn_into().ok()?;
    let line = element.closest("[data-line]").ok()??;
    line.get_attribute("data-line")?.parse().ok()
}
