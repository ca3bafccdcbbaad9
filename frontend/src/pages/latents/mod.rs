//! The latents of one dictionary: plane, histogram, filters, table.

mod chooser;
mod export;
mod notes;
mod random;
mod rows;
mod table;

use api::LatentsPage;
use leptos::prelude::*;

use super::triage::{
    Selection,
    filters::filters,
    plane::{self, Plane},
    spread,
};
use crate::parts::signal::{Memo, RwSignal};
use crate::{
    display::reason::{reason, shown},
    explorer::explorer,
    nav::{History, goto, use_dictionary, use_title, use_url_state},
    net::{
        load::{Load, use_load},
        request::Request,
    },
    parts::{
        dictionary::dictionary_select,
        live::{live, memo},
        provenance::provenance,
        share::share,
        states::{fault_note, skeleton},
    },
    state::{UrlState, compare::CompareState, place::latents_path, triage::TriageState},
};

/// What the parts of this page share.
#[derive(Clone, Copy)]
struct Triage {
    selection: Selection,
    /// The rows of the table around those that are seen, and how many there are in all.
    page: Load<LatentsPage>,
    /// Which rows those are: the first, and how many.
    window: Memo<(u64, u64)>,
    /// The window that scrolling chose, and the selection that was scrolled.
    scrolled: RwSignal<(String, (u64, u64))>,
    /// What the reader noted.
    notes: notes::Notes,
}

/// `/d/{dictionary}`.
#[component]
pub(crate) fn Latents() -> impl IntoView {
    let slug = use_dictionary();
    let (state, set) = use_url_state::<TriageState>();
    let first = untrack(|| state.read().row);
    let selected = memo(move || state.read().selection());
    // Nobody has scrolled another selection: it is read from its top.
    let first = (rows::before(first), api::FIRST_ROWS);
    let scrolled = RwSignal::new((selected.get_untracked(), first));
    let window = memo(move || {
        let (selection, window) = scrolled.get();
        if selection == selected.get() {
            window
        } else {
            rows::window(0, table::height())
        }
    });
    // What the plane shows is none of the table's business.
    let asked = memo(move || {
        let (first, many) = window.get();
        state.read().rows(first, many)
    });
    let page = use_load::<LatentsPage>(move || Some(Request::latents(&slug.get(), &asked.get())));
    let change = Callback::new(move |next| set(next, History::Push));
    let keep = Callback::new(move |next| set(next, History::Replace));
    let selection = Selection {
        slug,
        state,
        change,
        keep,
    };
    let triage = Triage {
        selection,
        page,
        window,
        scrolled,
        notes: notes::Notes::new(slug),
    };
    let plane = Plane::new(".plane-card", selection);
    use_title(Signal::derive(move || format!("Latents of {}", slug.get())));

    let top = live(move || {
        explorer()
            .study_with(&slug.read())
            .map(|(study, dictionary)| provenance(&study, &dictionary))
    });
    // The table stays while its rows change, so that the keyboard keeps its place.
    let known = memo(move || (page.state.fault.get(), page.is_there()));
    let slow = page.state.slow();
    let body = live(move || match known.get() {
        (Some(fault), _) => fault_note(&fault, Some(page.state)),
        (None, true) => table::table(triage),
        (None, false) => skeleton(12),
    });
    view! {
        <div class="stack">
            <div class="title">
                <div><h1>"Latents"</h1>{count_line(triage)}{notes::progress(triage.notes, plane)}</div>
                <div class="actions">{other_dictionary(triage)}{random::button(triage)}{chooser::menu(triage)}{export::menu(triage)}{notes::menu(triage.notes)}{share()}</div>
            </div>
            <div class="slot">{top}</div>
            <div class="cols triage">
                <div class="stack">
                    {plane::card(plane)}
                    <section class="card flush table-card" aria-label="Table" aria-busy=move || page.state.busy.get().then_some("true") class:busy=move || slow.get()>{body}</section>
                </div>
                <aside class="stack" aria-label="Histogram and filters">{spread::card(plane)}{filters(selection, vec![slug])}</aside>
            </div>
        </div>
    }.into_any()
}

/// How many latents are shown, and because of what.
fn count_line(triage: Triage) -> AnyView {
    let words = move || {
        let Some(page) = triage.page.get() else {
            return "Counting…".to_owned();
        };
        let all = explorer()
            .dictionary(Some(&triage.selection.slug.read()))
            .map_or(page.total, |d| d.latents as u64);
        let shown = shown(page.total, all);
        match reason(&triage.selection.state.read()) {
            None => format!("Showing {shown}."),
            Some(why) => format!("{shown}, because {why}."),
        }
    };
    let clear = live(move || {
        let state = triage.selection.state.get();
        let href = state
            .cleared()
            .href(&latents_path(&triage.selection.slug.read()));
        (!state.is_unfiltered())
            .then(|| view! { " " <a href=href data-testid="clear">"Clear"</a> }.into_any())
    });
    view! { <p class="quiet"><span data-testid="count-line" aria-live="polite">{words}</span>{clear}</p> }.into_any()
}

/// Another dictionary with the same filters, or beside this one.
fn other_dictionary(triage: Triage) -> AnyView {
    let choose = move |slug: String| {
        let state = triage.selection.state.get_untracked().at_the_top();
        goto(&state.href(&latents_path(&slug)));
    };
    let both = live(move || {
        let (slug, study) = (triage.selection.slug.get(), explorer().study.get()?);
        let mut others = study.dictionaries.iter().filter(|d| d.slug != slug);
        let state = CompareState {
            sides: [Some(slug.clone()), Some(others.next()?.slug.clone())],
            triage: triage.selection.state.get(),
            ..CompareState::default()
        };
        let href = state.href("compare");
        Some(view! { <a class="button" href=href data-testid="compare">"Compare"</a> }.into_any())
    });
    let menu = dictionary_select(move || triage.selection.slug.get(), choose);
    view! { {menu}{both} }.into_any()
}
