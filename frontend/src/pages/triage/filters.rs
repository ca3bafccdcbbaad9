//! The filter panel.

use api::{Class, DictionaryInfo, Verdict};
use leptos::prelude::*;

use super::Selection;
use crate::parts::signal::Memo;
use crate::{
    display::{
        decimal::{self, shortest},
        numbers::count,
        verdict::{class_rule, class_style, verdict_meaning, verdict_name},
    },
    explorer::explorer,
    parts::{
        field::{Check, Field},
        live::memo,
        symbols::symbol,
    },
    state::plane::{COLUMNS, column_name},
};

/// Columns whose bounds are shown without asking.
const FIRST: usize = 6;

/// From this width on the panel is open at first.
const WIDE: f64 = 1000.0;

/// Class, verdict, dead, text and bounds, with counts of the dictionaries that they filter.
pub(in crate::pages) fn filters(selection: Selection, of: Vec<Memo<String>>) -> AnyView {
    let width = window().inner_width().ok().and_then(|w| w.as_f64());
    let open = width.is_none_or(|w| w >= WIDE);
    let dictionaries = memo(move || {
        let named = of
            .iter()
            .filter_map(|slug| explorer().dictionary(Some(&slug.read())));
        named.collect()
    });
    let classes = Class::ALL
        .iter()
        .map(|&class| class_check(selection, dictionaries, class))
        .collect_view();
    let verdicts = Verdict::ALL
        .iter()
        .map(|&verdict| verdict_check(selection, dictionaries, verdict))
        .collect_view();
    let dead = [
        (None, "with"),
        (Some(false), "without"),
        (Some(true), "only"),
    ];
    let dead = dead.map(|(value, words)| {
        Check::radio("dead", words, words).showing(
            move || selection.state.read().dead == value,
            move || selection.update(|s| s.dead = value),
        )
    });
    let search = Field {
        kind: "search",
        label: "Label, id or example text",
        test: "search",
        placeholder: "refuse, 1042, lock",
        list: None,
    };
    let search = search.showing(
        move || selection.state.read().q.clone(),
        move |text| selection.update(|s| text.trim().clone_into(&mut s.q)),
    );
    let bounds = |columns: &[(&'static str, &str)]| {
        let fields = columns.iter().map(|c| range(selection, c.0));
        fields.collect_view()
    };
    let (first, more) = COLUMNS.split_at(COLUMNS.len().min(FIRST));
    view! {
        <details class="card filters" data-testid="filters" prop:open=open>
            <summary><h2>"Filters"</h2></summary>
            <div class="fields">
                <div class="field"><span aria-hidden="true">"Label, id or example text"</span>{search}</div>
                <fieldset data-testid="class-filter"><legend>"Class"</legend>{classes}</fieldset>
                <fieldset data-testid="verdict-filter"><legend>"Verdict"</legend>{verdicts}</fieldset>
                <fieldset class="inline" data-testid="dead-filter"><legend>"Dead latents"</legend>{dead.collect_view()}</fieldset>
                <fieldset>
                    <legend>"Bounds"</legend>
                    {bounds(first)}
                    <details><summary class="small quiet">"More columns"</summary>{bounds(more)}</details>
                </fieldset>
            </div>
        </details>
    }
    .into_any()
}

type Dictionaries = Memo<Vec<DictionaryInfo>>;

/// The count of each dictionary that has one.
fn tally<T: PartialEq>(
    dictionaries: Dictionaries,
    counts: fn(&DictionaryInfo) -> &[(T, u64)],
    of: &T,
) -> String {
    let dictionaries = dictionaries.read();
    let found = dictionaries
        .iter()
        .filter_map(|d| counts(d).iter().find(|c| c.0 == *of));
    let counts: Vec<String> = found.map(|c| count(c.1)).collect();
    counts.join(" / ")
}

fn class_check(selection: Selection, dictionaries: Dictionaries, class: Class) -> AnyView {
    let tally = move || tally(dictionaries, |d| &d.counts.classes, &class);
    let check = Check {
        kind: "checkbox",
        name: "class",
        value: class.as_str(),
        words: tallied(
            Some(class_style(class)),
            class.as_str(),
            Signal::derive(tally),
        ),
        class: class_style(class),
        title: class_rule(class, &explorer().cuts()),
    };
    check.showing(
        move || selection.state.read().classes.contains(&class),
        move || selection.update(|s| s.toggle_class(class)),
    )
}

fn verdict_check(selection: Selection, dictionaries: Dictionaries, verdict: Verdict) -> AnyView {
    let tally = move || tally(dictionaries, |d| &d.counts.verdicts, &verdict);
    let check = Check {
        kind: "checkbox",
        name: "verdict",
        value: verdict.as_str(),
        words: tallied(None, verdict_name(verdict), Signal::derive(tally)),
        class: "",
        title: verdict_meaning(verdict).into(),
    };
    check.showing(
        move || selection.state.read().verdicts.contains(&verdict),
        move || selection.update(|s| s.toggle_verdict(verdict)),
    )
}

/// Words with a sign before and a count behind them.
fn tallied(style: Option<&'static str>, words: &'static str, tally: Signal<String>) -> AnyView {
    let sign = style.map(|_| view! { <i aria-hidden="true"></i> }.into_any());
    view! { {sign}<span>{words}</span><span class="aside num quiet">{tally}</span> }.into_any()
}

/// Two number fields around a column's name.
pub(super) fn range(selection: Selection, column: &'static str) -> AnyView {
    let name = column_name(column);
    let field = move |upper: bool| {
        let value = move || {
            let (min, max) = selection.state.read().range(column);
            (if upper { max } else { min }).map_or(String::new(), shortest)
        };
        let set = move |text: String| {
            let bound = decimal::read(&text);
            selection.update(|state| {
                let (min, max) = state.range(column);
                let (min, max) = if upper { (min, bound) } else { (bound, max) };
                state.set_range(column, min, max);
            });
        };
        Field::number(
            if upper { "at most" } else { "at least" },
            if upper { "max" } else { "min" },
        )
        .showing(value, set)
    };
    view! {
        <div class="range" role="group" aria-label=name data-column=column>
            {field(false)}<span>"≤ "{symbol(name)}" ≤"</span>{field(true)}
        </div>
    }
    .into_any()
}
