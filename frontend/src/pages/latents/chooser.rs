//! Which columns the table has.

use leptos::prelude::*;

use super::{
    Triage,
    rows::{COLUMNS, USUAL},
};
use crate::parts::{
    field::{Button, Check},
    symbols::symbol,
};

/// A folded menu with a box for each column.
pub(super) fn menu(triage: Triage) -> AnyView {
    let check = |column: &'static super::rows::Column| {
        let key = column.key;
        let check = Check {
            kind: "checkbox",
            name: "column",
            value: key,
            words: symbol(column.name),
            class: "",
            title: column.title.to_owned(),
        };
        check.showing(
            move || shown(&triage.selection.state.read().columns).contains(&key),
            move || {
                let mut next = triage.selection.state.get_untracked();
                next.columns = toggled(&next.columns, key);
                triage.selection.keep.run(next);
            },
        )
    };
    // The id leads to the latent, so that it always stays.
    let checks = COLUMNS.iter().skip(1).map(check).collect_view();
    let usual = Button::link("The usual columns").doing(move || {
        let mut next = triage.selection.state.get_untracked();
        next.columns.clear();
        triage.selection.keep.run(next);
    });
    view! {
        <details class="menu" data-testid="columns">
            <summary class="button">"Columns"</summary>
            <div class="menu-list"><div class="choices">{checks}</div>{usual}</div>
        </details>
    }
    .into_any()
}

/// The columns of the table besides the id: those of the address, else the usual ones.
pub(super) fn shown<'a>(chosen: &'a [&'static str]) -> &'a [&'static str] {
    if chosen.is_empty() { USUAL } else { chosen }
}

/// The columns with one more or one less, in the table's order; empty where they are the usual ones.
fn toggled(chosen: &[&'static str], key: &'static str) -> Vec<&'static str> {
    let now = shown(chosen);
    let keys = COLUMNS.iter().map(|column| column.key);
    let next: Vec<&str> = keys
        .filter(|&name| now.contains(&name) != (name == key))
        .collect();
    if next == USUAL { Vec::new() } else { next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_and_go() {
        let without = toggled(&[], "nu_r");
        assert!(!without.contains(&"nu_r") && without.len() == USUAL.len() - 1);
        assert!(toggled(&without, "nu_r").is_empty(), "the usual ones again");
        let more = toggled(&[], "norm_base");
        assert!(more.contains(&"norm_base") && more.len() == USUAL.len() + 1);
        assert_eq!(shown(&more), more);
    }
}
