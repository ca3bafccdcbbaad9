//! The table of latents: as long as the selection, with only the rows around those that are seen in the page.

use std::time::Duration;

use leptos::{
    ev::{self, MouseEvent},
    html,
    prelude::*,
    web_sys::{Element, FocusOptions, HtmlDivElement, HtmlElement},
};
use wasm_bindgen::JsCast;

use super::{
    Triage,
    chooser::shown,
    random,
    rows::{self, COLUMNS, Column, HEIGHT},
};
use crate::{
    explorer::explorer,
    nav::goto,
    parts::{
        keys::use_keys,
        live::{after_paint, effect, live, memo, when_changed},
        states::empty,
        styles::settle,
        symbols::symbol,
    },
    state::{
        UrlState, lab::LabState, latent::LatentState, place::latent_path, triage::TriageState,
    },
};

/// How long the table stays where it is before the address says so.
const REST: Duration = Duration::from_millis(300);

/// Rows that stay in sight above one that the keyboard scrolls to.
const ABOVE: u64 = 7;

/// The table's parts in the page, and which row the keyboard is on.
#[derive(Clone, Copy)]
struct Table {
    triage: Triage,
    scroll: NodeRef<html::Div>,
    body: NodeRef<html::Tbody>,
    /// How far it is scrolled, in pixels, as far as is known. Asking the page, or telling it in vain, makes it lay everything out at once.
    top: StoredValue<u32>,
    /// The row that j and k left or go to.
    at: StoredValue<Option<u64>>,
    /// Counts scroll steps, so that the last one can be told.
    steps: StoredValue<u32>,
}

/// Header, rows, and the keys that walk over them.
pub(super) fn table(triage: Triage) -> AnyView {
    let table = Table {
        triage,
        scroll: NodeRef::new(),
        body: NodeRef::new(),
        top: StoredValue::new(0),
        at: StoredValue::new(None),
        steps: StoredValue::new(0),
    };
    use_keys(move |key, event| {
        let step = match key {
            "j" => 1,
            "k" => -1,
            "0" | "1" | "2" | "3" | "4" | "5" => return table.rate(key),
            "s" => return table.steer(),
            "r" => return random::open(triage),
            _ => return,
        };
        event.prevent_default();
        table.step(step);
    });
    let columns = memo(move || shown(&triage.selection.state.read().columns).to_vec());
    let heads = live(move || {
        let columns = columns.get();
        let mine = |column: &&Column| column.key == "id" || columns.contains(&column.key);
        let heads = COLUMNS.iter().filter(mine);
        heads.map(|column| head(triage, column)).collect_view()
    });
    effect(move || table.draw(&columns.read()));
    // Another filter or order begins at the top.
    let selection = memo(move || triage.selection.state.read().selection());
    when_changed(selection, move |_| {
        table.show(rows::window(0, height()));
        table.scroll_to(0);
    });
    let resized = window_event_listener(ev::resize, move |_| table.scrolled());
    on_cleanup(move || resized.remove());
    let nothing = live(move || {
        let page = triage.page.get()?;
        let why = explorer()
            .dictionary(Some(&triage.selection.slug.read()))
            .and_then(|d| d.analysis.reason);
        let hint = why.unwrap_or_else(|| "Widen a bound or clear them.".into());
        (page.total == 0).then(|| empty(format!("No latent passes these filters. {hint}")))
    });
    request_animation_frame(move || {
        if table.element().is_some() {
            table.scroll_to(triage.selection.state.read_untracked().row);
        }
    });
    after_paint(move || table.scrolled());
    let count = move || {
        let page = triage.page.get();
        page.map_or(String::new(), |page| (page.total + 1).to_string())
    };
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Table of latents" node_ref=table.scroll on:scroll=move |_: ev::Event| table.scrolled()>
            <table class="rows latents" data-testid="latents" aria-rowcount=count style=("--row", format!("{HEIGHT}px"))>
                <caption class="unseen">"Latents. Headers sort; with Shift they add a column to the order. j and k move between rows, Enter opens one."</caption>
                <thead><tr aria-rowindex="1">{heads}</tr></thead>
                <tbody node_ref=table.body></tbody>
            </table>
        </div>
        {nothing}
    }
    .into_any()
}

/// Pixels of rows that may be seen at once, whatever rows there are: what the style sheet lets the table have, without its bar.
pub(super) fn height() -> f64 {
    let all = window()
        .inner_height()
        .ok()
        .and_then(|height| height.as_f64());
    (all.unwrap_or_default() - 90.0).max(420.0)
}

/// The address of the latent in row `at` of a selection, which it remembers.
pub(super) fn latent_href(state: &TriageState, slug: &str, id: u32, at: u64) -> String {
    let mut from = state.clone();
    from.row = rows::before(at);
    let from = from.write();
    let state = LatentState {
        from: Some(from).filter(|query| !query.is_empty()),
        ..LatentState::default()
    };
    state.href(&latent_path(slug, id))
}

impl Table {
    /// Puts the rows that came into the page; the keyboard stays on its row.
    fn draw(self, columns: &[&'static str]) {
        let triage = self.triage;
        let (Some(page), Some(body)) = (triage.page.get(), self.body.get()) else {
            return;
        };
        let slug = triage.selection.slug.get_untracked();
        // Rows and the address that they answer change one after the other: only new rows are drawn.
        let state = triage.selection.state.get_untracked();
        let href = |id: u32, at: u64| latent_href(&state, &slug, id, at);
        let focused = focused_row();
        let first = triage.window.get_untracked().0.min(page.total);
        body.set_inner_html(&rows::body(
            &page.rows,
            columns,
            first,
            page.total,
            href,
            triage.notes.sign(),
        ));
        settle(&body, ".space > td");
        if let Some(at) = self.at.get_value().or(focused) {
            self.focus(at, false);
        }
    }

    /// What scrolls; none once the reader has left, as a timer may find.
    fn element(self) -> Option<HtmlDivElement> {
        self.scroll.try_get_untracked().flatten()
    }

    /// Follows the scroll bar: asks for the rows that come into sight.
    fn scrolled(self) {
        let Some(scroll) = self.element() else {
            return;
        };
        let top = scroll.scroll_top().unsigned_abs();
        self.top.set_value(top);
        let first: u64 = (top / HEIGHT).into();
        let needed = rows::window(first, height());
        let there = self.triage.window.get_untracked();
        if needed.0 != there.0 || needed.1 > there.1 {
            self.show(needed);
        }
        self.steps.update_value(|steps| *steps += 1);
        let now = self.steps.get_value();
        let still = move || {
            if self.steps.try_get_value() == Some(now) {
                self.note(first);
            }
        };
        set_timeout(still, REST);
    }

    /// Has these rows in the page, of the selection that there is now.
    fn show(self, window: (u64, u64)) {
        let selection = self.triage.selection.state.read_untracked().selection();
        self.triage.scrolled.set((selection, window));
    }

    /// Puts the first row that is seen into the address.
    fn note(self, first: u64) {
        let mut state = self.triage.selection.state.get_untracked();
        if state.row != first {
            state.row = first;
            self.triage.selection.keep.run(state);
        }
    }

    fn scroll_to(self, row: u64) {
        let top = (row * u64::from(HEIGHT)) as u32;
        let scroll = self.element();
        if let Some(scroll) = scroll.filter(|_| self.top.get_value() != top) {
            scroll.set_scroll_top(top as i32);
        }
    }

    /// Moves the focus by a row; one out of sight is scrolled to and gets it when it comes.
    fn step(self, step: i64) {
        let total = self
            .triage
            .page
            .data
            .read_untracked()
            .as_ref()
            .map_or(0, |p| p.total);
        let first = self.triage.selection.state.read_untracked().row;
        let from = focused_row().or(self.at.get_value());
        let to = from.map_or(first, |at| at.saturating_add_signed(step));
        let to = to.min(total.saturating_sub(1));
        if self.focus(to, true) {
            self.at.set_value(None);
        } else {
            self.at.set_value(Some(to));
            self.scroll_to(to.saturating_sub(ABOVE));
        }
    }

    /// Goes to the lab with the latent of the row that has the focus.
    fn steer(self) {
        if let Some(latent) = focused_latent() {
            let slug = self.triage.selection.slug.get_untracked();
            goto(&LabState::steering(slug, latent).href("lab"));
        }
    }

    /// Rates the latent of the row that has the focus.
    fn rate(self, rating: &str) {
        if let (Some(latent), Ok(rating)) = (focused_latent(), rating.parse()) {
            self.triage.notes.rate(latent, rating);
        }
    }

    /// Focuses a row's link if it is in the page.
    fn focus(self, row: u64, into_view: bool) -> bool {
        let selector = format!("[aria-rowindex=\"{}\"] a", row + 2);
        let found = self
            .body
            .get_untracked()
            .and_then(|body| body.query_selector(&selector).ok()?)
            .and_then(|link| link.dyn_into::<HtmlElement>().ok());
        let Some(link) = found else {
            return false;
        };
        let options = FocusOptions::new();
        options.set_prevent_scroll(!into_view);
        // Fails only for elements that are gone.
        let _ = link.focus_with_options(&options);
        self.at.set_value(None);
        true
    }
}

/// The row whose link has the focus.
fn focused() -> Option<Element> {
    document().active_element()?.closest("tbody > tr").ok()?
}

/// The latent of that row.
fn focused_latent() -> Option<u32> {
    focused()?.get_attribute("data-latent")?.parse().ok()
}

/// Which row of the selection that is.
fn focused_row() -> Option<u64> {
    let index: u64 = focused()?.get_attribute("aria-rowindex")?.parse().ok()?;
    index.checked_sub(2)
}

fn head(triage: Triage, column: &'static Column) -> AnyView {
    let (name, left) = (column.key, rows::is_words(column.key));
    let click = move |event: MouseEvent| {
        let keep = event.shift_key();
        triage.selection.update(|state| state.sort_by(name, keep));
    };
    let sorted = move || {
        let state = triage.selection.state.read();
        let key = state.sort.iter().find(|s| s.column == name);
        key.map(|key| {
            if key.descending {
                "descending"
            } else {
                "ascending"
            }
        })
    };
    let sign = move || {
        let state = triage.selection.state.read();
        let Some(at) = state.sort.iter().position(|s| s.column == name) else {
            return String::new();
        };
        let falls = state.sort.get(at).is_some_and(|s| s.descending);
        let arrow = if falls { "↓" } else { "↑" };
        if state.sort.len() > 1 {
            format!("{arrow}{}", at + 1)
        } else {
            arrow.to_owned()
        }
    };
    view! {
        <th scope="col" class=if left { "l" } else { "" } aria-sort=sorted data-column=name>
            <button type="button" class="head" title=column.title on:click=click>
                {symbol(column.name)}
                <span class="sign" aria-hidden="true">{sign}</span>
            </button>
        </th>
    }
    .into_any()
}
