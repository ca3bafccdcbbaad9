//! Which rows of how many, and the way to the others.

use std::collections::HashMap;

use leptos::prelude::*;

use super::Triage;
use crate::{display::numbers::count, state::triage::PAGE};

/// Below the table. The server hands out cursors forwards only; the way back is remembered while the filter stays.
#[component]
pub(super) fn Pager(triage: Triage) -> impl IntoView {
    let Triage { state, page, .. } = triage;
    let number = move || state.get().page.max(1);
    // Cursors seen, by page; forgotten when filter or order change.
    let seen = StoredValue::new((String::new(), HashMap::<u64, Option<String>>::new()));
    Effect::new(move |_| {
        let now = state.get();
        let filter = now.clone().from_the_top().request();
        seen.update_value(|(of, cursors)| {
            if *of != filter {
                *of = filter;
                cursors.clear();
            }
            cursors.insert(now.page.max(1), now.cursor);
        });
    });
    let go = move |cursor: Option<String>, page: u64| {
        let mut next = state.get_untracked().from_the_top();
        next.cursor = cursor;
        next.page = page;
        triage.change.run(next);
        window().scroll_to_with_x_and_y(0.0, 0.0);
    };
    let first = move |_| go(None, 0);
    let previous = move |_| {
        let to = number() - 1;
        let cursor = seen.with_value(|(_, cursors)| cursors.get(&to).cloned());
        go(cursor.flatten(), if to > 1 { to } else { 0 });
    };
    let next = move |_| {
        if let Some(cursor) = page
            .data
            .read_untracked()
            .as_ref()
            .and_then(|p| p.next.clone())
        {
            go(Some(cursor), number() + 1);
        }
    };
    let known_before = move || {
        let to = number().saturating_sub(1);
        to == 1 || (to > 1 && seen.with_value(|(_, cursors)| cursors.contains_key(&to)))
    };
    let rows = move || {
        let data = page.get()?;
        let from = (number() - 1) * PAGE;
        let to = from + data.rows.len() as u64;
        Some(format!(
            "rows {}–{} of {}",
            count((from + 1).min(to)),
            count(to),
            count(data.total)
        ))
    };
    let has_next = move || page.data.read().as_ref().is_some_and(|p| p.next.is_some());
    view! {
        <nav class="pager" aria-label="Pages of the table">
            <span class="small quiet" data-testid="rows-line">{rows}</span>
            <span class="aside">
                <button type="button" disabled=move || state.get().cursor.is_none() on:click=first>"First"</button>
                <button type="button" disabled=move || !known_before() on:click=previous>"Previous"</button>
                <button type="button" data-testid="next-page" disabled=move || !has_next() on:click=next>"Next"</button>
            </span>
        </nav>
    }
}
