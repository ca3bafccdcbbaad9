//! Which rows of how many, and the way to the others.

use crate::parts::live::effect;
use leptos::prelude::*;

use super::Triage;
use crate::{display::numbers::count, parts::field::Button, state::triage::PAGE};

/// Below the table. The server hands out cursors forwards only; the way back is remembered while the filter stays.
pub(super) fn pager(triage: Triage) -> AnyView {
    let Triage { state, page, .. } = triage;
    let number = move || state.read().page.max(1);
    // Cursors seen, by page; forgotten when filter or order change.
    let seen = StoredValue::new((String::new(), Vec::<(u64, Option<String>)>::new()));
    effect(move || {
        let now = state.get();
        let filter = now.clone().at_the_top().request();
        seen.update_value(|(of, cursors)| {
            if *of != filter {
                *of = filter;
                cursors.clear();
            }
            cursors.push((now.page.max(1), now.cursor));
        });
    });
    let cursor_of = move |page: u64| {
        let found = seen.with_value(|(_, cursors)| {
            cursors
                .iter()
                .find(|(at, _)| *at == page)
                .map(|(_, cursor)| cursor.clone())
        });
        found.or((page == 1).then_some(None))
    };
    let go = move |cursor: Option<String>, page: u64| {
        triage.update(|next| (next.cursor, next.page) = (cursor, page));
        window().scroll_to_with_x_and_y(0.0, 0.0);
    };
    let previous = move || {
        let to = number() - 1;
        go(cursor_of(to).flatten(), if to > 1 { to } else { 0 });
    };
    let next = move || {
        let cursor = page
            .data
            .read_untracked()
            .as_ref()
            .and_then(|p| p.next.clone());
        if cursor.is_some() {
            go(cursor, number() + 1);
        }
    };
    let rows = move || {
        let Some(data) = page.get() else {
            return String::new();
        };
        let from = (number() - 1) * PAGE;
        let to = from + data.rows.len() as u64;
        format!(
            "rows {}–{} of {}",
            count((from + 1).min(to)),
            count(to),
            count(data.total)
        )
    };
    let at_start = move || state.read().cursor.is_none();
    let no_way_back = move || cursor_of(number() - 1).is_none();
    let at_end = move || page.data.read().as_ref().is_none_or(|p| p.next.is_none());
    let next_button = Button {
        test: Some("next-page"),
        ..Button::new("Next")
    };
    view! {
        <nav class="pager" aria-label="Pages of the table">
            <span class="small quiet" data-testid="rows-line">{rows}</span>
            <span class="aside">
                {Button::new("First").unless(at_start, move || go(None, 0))}
                {Button::new("Previous").unless(no_way_back, previous)}
                {next_button.unless(at_end, next)}
            </span>
        </nav>
    }
    .into_any()
}
