//! Drawing the plane. Points are drawn into a picture larger than what is seen of it, which slides while the view moves and is drawn anew
//! when it rests; what lies over the points is set anew for every frame.

use std::time::Duration;

use leptos::{
    prelude::*,
    web_sys::{CanvasRenderingContext2d, Element, HtmlCanvasElement, ImageData},
};
use wasm_bindgen::{Clamped, JsCast};

use super::plane::{LINES, Plane, bounded, grid};
use crate::{
    display::{
        axis::View,
        cloud::Picture,
        decimal::{rounded, share, shortest},
        numbers::tick,
    },
    explorer::explorer,
    parts::{
        live::{after_paint, effect, memo, when_changed},
        styles::set_style,
    },
    state::plane::column_name,
};

/// The picture's room around what is seen of it, in shares of that; the style sheet has the same.
pub(super) const ROOM: f64 = 0.5;

fn canvas(plane: Plane) -> Option<HtmlCanvasElement> {
    plane.part(".plane-window > canvas")?.dyn_into().ok()
}

/// How long points wait for the rows of another selection, which are read first. While one is being dragged no rows come.
const ROWS_FIRST: Duration = Duration::from_millis(100);

/// Paints now and whenever what is seen changes, at most once for each frame; points of another selection after its rows.
pub(super) fn follow(plane: Plane) {
    // The selection for which points were drawn last.
    let done = StoredValue::new(None);
    let points = once(after_paint, move || {
        done.set_value(plane.kept.get());
        draw(plane);
    });
    let soon = once(
        |act| set_timeout(act, ROWS_FIRST),
        move || {
            if done.get_value() != plane.kept.get() {
                points();
            }
        },
    );
    let over = once(request_animation_frame, move || {
        overlay(plane);
    });
    // The state says more than what is seen: another order of the table draws nothing here.
    let drawn = memo(move || plane.drawn());
    effect(move || {
        plane.cloud.track();
        drawn.track();
        explorer().theme.track();
        points();
    });
    when_changed(plane.kept, move |_| {
        if plane.draft.read_untracked().is_some() {
            points();
        } else {
            soon();
        }
    });
    let covered = memo(move || {
        let state = plane.state();
        (
            plane.view(),
            plane.corners(),
            state.plane.axes,
            state.filters(),
        )
    });
    effect(move || {
        covered.track();
        over();
    });
    let resized = window_event_listener(leptos::ev::resize, move |_| points());
    on_cleanup(move || resized.remove());
}

/// Has something done later, once however often it is asked for until then.
fn once(
    later: fn(Box<dyn FnOnce()>),
    act: impl Fn() + Copy + 'static,
) -> impl Fn() + Copy + 'static {
    let waiting = StoredValue::new(false);
    move || {
        if waiting.try_get_value() == Some(false) {
            waiting.set_value(true);
            later(Box::new(move || {
                if waiting.try_set_value(false).is_none() {
                    untrack(act);
                }
            }));
        }
    }
}

/// Draws the points.
fn draw(plane: Plane) -> Option<()> {
    let canvas = canvas(plane)?;
    let (cloud, kept) = (plane.cloud.get()?, plane.kept.get()?);
    let view = plane.drawn();
    let ratio = window().device_pixel_ratio();
    let size = |length: i32| (f64::from(length) * ratio) as u32;
    let (width, height) = (size(canvas.client_width()), size(canvas.client_height()));
    let mut picture = Picture::new(width as usize, height as usize);
    picture.density = ratio as f32;
    cloud
        .0
        .draw(&mut picture, &view.widened(ROOM), &kept.0, &colours()?);
    if canvas.width() != width || canvas.height() != height {
        canvas.set_width(width);
        canvas.set_height(height);
    }
    let context = canvas.get_context("2d").ok()??;
    let context: CanvasRenderingContext2d = context.dyn_into().ok()?;
    let pixels = Clamped(picture.pixels.as_slice());
    let image = ImageData::new_with_u8_clamped_array_and_sh(pixels, width, height).ok()?;
    context.put_image_data(&image, 0.0, 0.0).ok()?;
    // Names and values of attributes are well-formed, so that setting them cannot fail.
    let _ = canvas.set_attribute("data-points", &cloud.0.placed().to_string());
    slide(plane, &canvas, view);
    overlay(plane)
}

/// Puts the picture of one view where it belongs in the view that is shown.
fn slide(plane: Plane, canvas: &HtmlCanvasElement, drawn: View) {
    let shown = plane.view();
    let (left, low) = shown.share(drawn.x[0], drawn.y[0]);
    let (right, high) = shown.share(drawn.x[1], drawn.y[1]);
    // Percentages are of the picture, which has room on both sides.
    let moved = |share: f64| rounded(100.0 * share / (1.0 + 2.0 * ROOM), 3);
    let style = format!(
        "transform:translate({}%,{}%) scale({},{})",
        moved(left),
        moved(-low),
        rounded(right - left, 5),
        rounded(high - low, 5),
    );
    set_style(canvas, &style);
}

/// Sets everything over the points.
fn overlay(plane: Plane) -> Option<()> {
    let view = plane.view();
    slide(plane, &canvas(plane)?, plane.drawn());
    let axes = plane.selection.state.read().plane.axes;
    plane
        .part(".plane-grid")?
        .set_inner_html(&grid(&view, axes));
    for (selector, axis) in [(".plane-x", axes[0]), (".plane-y", axes[1])] {
        plane
            .part(selector)?
            .set_text_content(Some(column_name(axis.column)));
    }
    let inside = bounded(plane).map_or("display:none".into(), |inset| format!("inset:{inset}"));
    set_style(&plane.part(".plane-box")?, &inside);
    let corner = |[x, y]: [f64; 2]| {
        let (across, up) = view.share(x, y);
        [rounded(across, 4), rounded(1.0 - up, 4)].join(",")
    };
    let corners: Vec<String> = plane.corners().into_iter().map(corner).collect();
    let _ = plane
        .part(".plane-lasso > polygon")?
        .set_attribute("points", &corners.join(" "));
    for (i, line) in LINES.into_iter().enumerate() {
        let element = plane.part(&format!("[data-line=\"{i}\"]"))?;
        let axis = axes[line.axis];
        let found = plane.line(line).and_then(|(value, set)| {
            let place = axis.scale.place(value);
            let (across, up) = view.share(place, place);
            let at = if line.axis == 0 { across } else { up };
            (0.0..=1.0).contains(&at).then_some((at, value, set))
        });
        let Some((at, value, set)) = found else {
            set_style(&element, "display:none");
            continue;
        };
        let side = if line.upper { "at most" } else { "at least" };
        let name = format!("{} {side}", column_name(axis.column));
        set_style(&element, &format!("--at:{}", share(at)));
        for (attribute, value) in [
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
