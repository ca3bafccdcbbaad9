//! The filter panel.

use api::{Class, Verdict};
use leptos::{ev, prelude::*};

use super::Triage;
use crate::{
    display::{
        numbers::count,
        verdict::{class_rule, class_style, verdict_meaning, verdict_name},
    },
    explorer::explorer,
    parts::histogram::{Bars, Tone},
    state::triage::RANGES,
};

/// Class, verdict, dead, text and bounds.
#[component]
pub(super) fn Filters(triage: Triage) -> impl IntoView {
    let explorer = explorer();
    let open = RwSignal::new(
        window()
            .inner_width()
            .ok()
            .and_then(|w| w.as_f64())
            .is_none_or(|w| w >= 1000.0),
    );
    let dictionary = Memo::new(move |_| explorer.dictionary(Some(&triage.slug.get())));
    let histogram = move || {
        let dictionary = dictionary.get()?;
        Some(view! {
            <section class="card" aria-labelledby="delta-title">
                <header><h2 id="delta-title">"Δ_norm"</h2><span class="aside small quiet">"all latents, log count"</span></header>
                <Bars histogram=dictionary.delta_norm name="Δ_norm" counted="latents" tone=Tone::Classes(explorer.cuts()) ticks=vec![0.0, 0.5, 1.0] />
            </section>
        })
    };
    let class_count = move |class: Class| {
        dictionary.with(|d| {
            d.as_ref()?
                .counts
                .classes
                .iter()
                .find(|c| c.0 == class)
                .map(|c| count(c.1))
        })
    };
    let verdict_count = move |verdict: Verdict| {
        dictionary.with(|d| {
            d.as_ref()?
                .counts
                .verdicts
                .iter()
                .find(|c| c.0 == verdict)
                .map(|c| count(c.1))
        })
    };
    let classes = Class::ALL
        .iter()
        .map(|&class| {
            view! {
                <label class=format!("check {}", class_style(class)) title=move || class_rule(class, &explorer.cuts())>
                    <input
                        type="checkbox"
                        value=class.as_str()
                        prop:checked=move || triage.state.read().classes.contains(&class)
                        on:change=move |_| triage.update(|s| s.toggle_class(class))
                    />
                    <i aria-hidden="true"></i>
                    {class.as_str()}
                    <span class="aside num quiet">{move || class_count(class)}</span>
                </label>
            }
        })
        .collect_view();
    let verdicts = Verdict::ALL
        .iter()
        .map(|&verdict| {
            view! {
                <label class="check" title=verdict_meaning(verdict)>
                    <input
                        type="checkbox"
                        value=verdict.as_str()
                        prop:checked=move || triage.state.read().verdicts.contains(&verdict)
                        on:change=move |_| triage.update(|s| s.toggle_verdict(verdict))
                    />
                    {verdict_name(verdict)}
                    <span class="aside num quiet">{move || verdict_count(verdict)}</span>
                </label>
            }
        })
        .collect_view();
    let dead_choice = move |value: Option<bool>, words: &'static str| {
        view! {
            <label class="check">
                <input
                    type="radio"
                    name="dead"
                    prop:checked=move || triage.state.read().dead == value
                    on:change=move |_| triage.update(|s| s.dead = value)
                />
                {words}
            </label>
        }
    };
    let search = move |event: ev::Targeted<ev::Event, leptos::web_sys::HtmlInputElement>| {
        let text = event.target().value().trim().to_owned();
        triage.update(|s| s.q = text);
    };
    let ranges = RANGES
        .iter()
        .map(|&(column, name)| range(triage, column, name))
        .collect_view();
    view! {
        <details class="card filters" data-testid="filters" prop:open=open>
            <summary><h2>"Filters"</h2></summary>
            <div class="fields">
                <label class="field">
                    <span>"Label, id or example text"</span>
                    <input type="search" data-slash data-testid="search" placeholder="refuse, 1042, lock" prop:value=move || triage.state.read().q.clone() on:change:target=search />
                </label>
                <fieldset data-testid="class-filter"><legend>"Class"</legend>{classes}</fieldset>
                <fieldset data-testid="verdict-filter"><legend>"Verdict"</legend>{verdicts}</fieldset>
                <fieldset class="inline" data-testid="dead-filter">
                    <legend>"Dead latents"</legend>
                    {dead_choice(None, "with")}
                    {dead_choice(Some(false), "without")}
                    {dead_choice(Some(true), "only")}
                </fieldset>
                <fieldset><legend>"Bounds"</legend>{ranges}</fieldset>
            </div>
        </details>
        {histogram}
    }
}

fn range(triage: Triage, column: &'static str, name: &'static str) -> AnyView {
    let field = move |upper: bool| {
        let value = move || {
            let (min, max) = triage.state.read().range(column);
            (if upper { max } else { min }).map_or(String::new(), |x| x.to_string())
        };
        let set = move |event: ev::Targeted<ev::Event, leptos::web_sys::HtmlInputElement>| {
            let bound = event
                .target()
                .value()
                .parse::<f64>()
                .ok()
                .filter(|x| x.is_finite());
            triage.update(|state| {
                let (min, max) = state.range(column);
                if upper {
                    state.set_range(column, min, bound)
                } else {
                    state.set_range(column, bound, max)
                }
            });
        };
        let label = if upper {
            format!("{name} at most")
        } else {
            format!("{name} at least")
        };
        let test = if upper {
            format!("max-{column}")
        } else {
            format!("min-{column}")
        };
        view! { <input type="number" step="any" aria-label=label data-testid=test prop:value=value on:change:target=set /> }
    };
    view! { <div class="range">{field(false)}<span>"≤ " {name} " ≤"</span>{field(true)}</div> }
        .into_any()
}
