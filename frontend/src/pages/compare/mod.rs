//! Two dictionaries of the study: counts, planes, effects, and which latents of the one are those of the other.

mod list;

use api::{DictionaryInfo, MatchesPage, StudyInfo};
use leptos::prelude::*;

use super::{
    study::{dictionaries, effects, later::Later, ratios},
    triage::{
        Selection,
        controls::controls,
        filters::filters,
        plane::{Plane, around, body, counted},
        spread,
    },
};
use crate::parts::signal::Memo;
use crate::{
    display::reason::reason,
    explorer::explorer,
    nav::{History, use_title, use_url_state},
    net::{
        load::{Load, use_load},
        request::Request,
    },
    parts::{
        card::Card,
        field::{Button, Select},
        live::{live, memo},
        share::share,
        states::{fault_note, skeleton, wrong},
    },
    state::{UrlState, compare::CompareState, place::latents_path, triage::TriageState},
};

/// What the parts of this page share.
#[derive(Clone, Copy)]
struct Comparison {
    state: Memo<CompareState>,
    change: Callback<CompareState>,
    /// The same without a step in the browser's history.
    keep: Callback<CompareState>,
    /// The two dictionaries.
    sides: Memo<Option<[String; 2]>>,
    /// A page of the left one's latents beside the right one's.
    page: Load<MatchesPage>,
}

impl Comparison {
    /// Changes the list, from its first row on.
    fn update(self, change: impl FnOnce(&mut CompareState)) {
        let mut next = self.state.get_untracked();
        next.first = 0;
        change(&mut next);
        self.keep.run(next);
    }

    fn slug(self, side: usize) -> Memo<String> {
        memo(move || {
            let sides = self.sides.get();
            let slug = sides.as_ref().and_then(|sides| sides.get(side));
            slug.cloned().unwrap_or_default()
        })
    }
}

/// The two dictionaries that the address names, else the study's first, and the first other one.
fn chosen(study: &StudyInfo, sides: [Option<String>; 2]) -> Result<[String; 2], String> {
    let known = |slug: &String| study.dictionaries.iter().any(|d| d.slug == *slug);
    if let Some(slug) = sides.iter().flatten().find(|slug| !known(slug)) {
        return Err(format!("This study has no dictionary “{slug}”."));
    }
    let [left, right] = sides;
    let besides = |other: &Option<String>| {
        let mut slugs = study.dictionaries.iter().map(|d| &d.slug);
        slugs.find(|slug| Some(*slug) != other.as_ref()).cloned()
    };
    let left = left.or_else(|| besides(&right));
    let right = right.or_else(|| besides(&left));
    match (left, right) {
        (Some(left), Some(right)) if left == right => Err(format!(
            "Left and right are both “{left}”. Choose another one."
        )),
        (Some(left), Some(right)) => Ok([left, right]),
        _ => Err("This study has one dictionary; train another one to compare.".into()),
    }
}

/// `/compare`.
#[component]
pub(crate) fn Compare() -> impl IntoView {
    let (state, set) = use_url_state::<CompareState>();
    let change = Callback::new(move |next| set(next, History::Push));
    let keep = Callback::new(move |next| set(next, History::Replace));
    let names = memo(move || state.read().sides.clone());
    let known = memo(move || {
        let study = explorer().study.get()?;
        Some(chosen(&study, names.get()))
    });
    let sides = memo(move || known.get().and_then(Result::ok));
    // Only what the list depends on asks for it again.
    let asked = memo(move || state.read().request());
    let page = use_load(move || {
        let [left, right] = sides.get()?;
        Some(Request::matches(&left, &right, &asked.get()))
    });
    let comparison = Comparison {
        state,
        change,
        keep,
        sides,
        page,
    };
    use_title(Signal::derive(move || {
        sides.get().map_or("Compare".into(), |[left, right]| {
            format!("{left} and {right} compared")
        })
    }));
    let there = memo(move || {
        let fault = explorer().study.state.fault.get();
        (fault, known.get().map(Result::err))
    });
    let parts = live(move || match there.get() {
        (Some(fault), None) => fault_note(&fault, Some(explorer().study.state)),
        (_, None) => skeleton(12),
        (_, Some(Some(why))) => wrong(why),
        (_, Some(None)) => parts(comparison),
    });
    view! {
        <div class="stack">
            <div class="title">
                <div><h1>"Dictionaries compared"</h1>{why(comparison)}</div>
                <div class="actions">{choice(comparison)}{share()}</div>
            </div>
            {parts}
        </div>
    }
}

/// What both selections have in common.
fn why(comparison: Comparison) -> AnyView {
    let words = move || {
        let state = comparison.state.read();
        reason(&state.triage).map_or(
            "One selection, one pair of axes, two dictionaries.".into(),
            |why| format!("Selected in both, because {why}."),
        )
    };
    let clear = live(move || {
        let state = comparison.state.get();
        let cleared = CompareState {
            triage: state.triage.cleared(),
            first: 0,
            ..state.clone()
        };
        let href = cleared.href("compare");
        (!state.triage.is_unfiltered())
            .then(|| view! { " " <a href=href data-testid="clear">"Clear"</a> }.into_any())
    });
    view! { <p class="quiet"><span data-testid="count-line" aria-live="polite">{words}</span>{clear}</p> }.into_any()
}

/// Menus of the two dictionaries, and the button that exchanges them.
fn choice(comparison: Comparison) -> AnyView {
    let menus = live(move || {
        let study = explorer().study.get()?;
        let menu = |side: usize, label: &'static str, test: &'static str| {
            let slugs = study.dictionaries.iter();
            let select = Select {
                label,
                test,
                choices: slugs.map(|d| (d.slug.clone(), d.slug.clone())).collect(),
            };
            let shown = comparison.slug(side);
            select.showing(
                move || shown.get(),
                move |slug| {
                    let Some([left, right]) = comparison.sides.get_untracked() else {
                        let mut sides = comparison.state.get_untracked().sides;
                        if let Some(slot) = sides.get_mut(side) {
                            *slot = Some(slug);
                        }
                        return comparison.update(|state| state.sides = sides);
                    };
                    // Whoever chooses the one that stands on the other side wants them exchanged.
                    let (kept, gone) = if side == 0 {
                        (right, left)
                    } else {
                        (left, right)
                    };
                    let other = if kept == slug { gone } else { kept };
                    comparison.update(|state| {
                        state.sides = if side == 0 {
                            [Some(slug), Some(other)]
                        } else {
                            [Some(other), Some(slug)]
                        };
                    });
                },
            )
        };
        let (left, right) = (menu(0, "Left", "left"), menu(1, "Right", "right"));
        let exchange = Button {
            words: "⇄",
            class: "icon",
            label: Some("Exchange left and right"),
            test: Some("exchange"),
        };
        let exchange = exchange.doing(move || {
            if let Some(sides) = comparison.sides.get_untracked() {
                let next = comparison.state.get_untracked().exchanged(sides);
                comparison.change.run(next);
            }
        });
        Some(view! { {left}{exchange}{right} }.into_any())
    });
    view! { <span class="pair">{menus}</span> }.into_any()
}

/// Everything below the title, once both dictionaries are known.
fn parts(comparison: Comparison) -> AnyView {
    let planes = chosen_of_both(comparison);
    let later = Later::new();
    let measured = memo(move || comparison.state.read().measured);
    let measure = Callback::new(move |measured| {
        let next = CompareState {
            measured,
            ..comparison.state.get_untracked()
        };
        comparison.keep.run(next);
    });
    let numbers = live(move || {
        let study = both(comparison)?;
        Some(
            view! {
                {dictionaries::side_by_side(&study)}
                {effects::card(&study, later, measured, measure)}
                {ratios::card(&study, later)}
            }
            .into_any(),
        )
    });
    view! { {planes}{numbers} }.into_any()
}

/// The study with the two dictionaries alone, left one first.
fn both(comparison: Comparison) -> Option<StudyInfo> {
    let sides = comparison.sides.get()?;
    let known = explorer().study.get()?;
    let mut study = StudyInfo::clone(&known);
    let find = |slug: String| -> Option<DictionaryInfo> {
        known.dictionaries.iter().find(|d| d.slug == slug).cloned()
    };
    study.dictionaries = sides.into_iter().filter_map(find).collect();
    Some(study)
}

/// Two planes with one pair of axes, one view and one selection, the matches of what is selected, and the filters beside them.
fn chosen_of_both(comparison: Comparison) -> AnyView {
    let triage = memo(move || comparison.state.read().triage.clone());
    let put = move |triage: TriageState| CompareState {
        triage,
        first: 0,
        ..comparison.state.get_untracked()
    };
    let selection = |side: usize| Selection {
        slug: comparison.slug(side),
        state: triage,
        change: Callback::new(move |next| comparison.change.run(put(next))),
        keep: Callback::new(move |next| comparison.keep.run(put(next))),
    };
    let (left, right) = (selection(0), selection(1));
    let [left, right] = Plane::pair([(".plane-left", left), (".plane-right", right)]);
    let side = |plane: Plane, class: &'static str| {
        let Selection { slug, state, .. } = plane.selection;
        let name = move || slug.get();
        let href = move || state.read().href(&latents_path(&slug.read()));
        view! {
            <section class=class aria-label=name>
                <h3><a href=href>{name}</a>" "<span class="small quiet" data-testid="plane-count" aria-live="polite">{move || counted(plane)}</span></h3>
                {body(plane)}
            </section>
        }
        .into_any()
    };
    let planes = view! {
        {controls(left)}
        <div class="cols by-dictionary">{side(left, "plane-left")}{side(right, "plane-right")}</div>
        {around(left)}
    };
    let card = Card {
        class: " plane-card",
        ..Card::new("plane", "Planes")
    };
    let spread = |plane: Plane| {
        let slug = plane.selection.slug;
        view! { <h3 class="small">{move || slug.get()}</h3>{spread::body(plane)} }.into_any()
    };
    let spreads = view! { {spread(left)}{spread(right)} };
    let of = vec![left.selection.slug, right.selection.slug];
    view! {
        <div class="cols triage">
            <div class="stack">{card.holding(planes.into_any())}{list::card(comparison)}</div>
            <aside class="stack" aria-label="Histograms and filters">
                {Card::new("spread", "Histograms").with(spread::menu(left), spreads.into_any())}
                {filters(left.selection, of)}
            </aside>
        </div>
    }
    .into_any()
}
