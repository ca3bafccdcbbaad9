//! The latents of one dictionary: filters, order, table.

mod filters;
mod pager;
mod table;

use api::LatentsPage;
use leptos::prelude::*;

use crate::{
    display::reason::{reason, shown},
    explorer::explorer,
    nav::{History, latents_path, use_goto, use_segment, use_title, use_url_state},
    net::{
        load::{Load, use_load},
        request::Request,
    },
    parts::{
        provenance::provenance,
        share::Share,
        states::{fault_note, skeleton},
    },
    state::{UrlState, triage::TriageState},
};

/// What the parts of this page share.
#[derive(Clone, Copy)]
struct Triage {
    slug: Memo<String>,
    state: Memo<TriageState>,
    change: Callback<TriageState>,
    page: Load<LatentsPage>,
}

impl Triage {
    /// Changes filter or order, from the first row on.
    fn update(self, change: impl FnOnce(&mut TriageState)) {
        let mut next = self.state.get_untracked().from_the_top();
        change(&mut next);
        self.change.run(next);
    }
}

/// `/d/{dictionary}`.
#[component]
pub(crate) fn Latents() -> impl IntoView {
    let explorer = explorer();
    let slug = use_segment("dictionary");
    let (state, set) = use_url_state::<TriageState>();
    let page = use_load::<LatentsPage>(move || {
        Some(Request::latents(&slug.get(), &state.get().request()))
    });
    let triage = Triage {
        slug,
        state,
        change: Callback::new(move |next| set(next, History::Push)),
        page,
    };
    use_title(move || format!("Latents of {}", slug.get()));

    let top = move || {
        let study = explorer.study.get()?;
        let dictionary = explorer.dictionary(Some(&slug.get()))?;
        Some(provenance(&study, &dictionary))
    };
    let missing = move || {
        let study = explorer.study.get()?;
        let slug = slug.get();
        (!study.dictionaries.iter().any(|d| d.slug == slug)).then(|| {
            let names: Vec<String> = study.dictionaries.iter().map(|d| d.slug.clone()).collect();
            view! { <p class="note bad">{format!("This study has no dictionary “{slug}”. It has: {}.", names.join(", "))}</p> }
        })
    };
    // The table stays while its rows change, so that the keyboard keeps its place.
    let content = Memo::new(move |_| (page.fault.get(), page.data.with(Option::is_some)));
    let body = move || match content.get() {
        (Some(fault), _) => fault_note(&fault, Some(Callback::new(move |()| page.reload()))),
        (None, true) => view! { <table::Table triage /><pager::Pager triage /> }.into_any(),
        (None, false) => skeleton(12),
    };
    view! {
        <div class="stack">
            <div class="title">
                <div>
                    <h1>"Latents"</h1>
                    <CountLine triage />
                </div>
                <div class="actions"><DictionarySelect slug /><Share /></div>
            </div>
            {top}
            {missing}
            <div class="cols triage">
                <section class="card flush table-card" aria-label="Latents" class:busy=move || page.busy.get()>{body}</section>
                <aside class="stack"><filters::Filters triage /></aside>
            </div>
        </div>
    }
}

/// How many latents are shown, and because of what.
#[component]
fn CountLine(triage: Triage) -> impl IntoView {
    let explorer = explorer();
    let text = move || {
        let total = triage.page.get()?.total;
        let all = explorer
            .dictionary(Some(&triage.slug.get()))
            .map_or(total, |d| d.latents as u64);
        Some((shown(total, all), reason(&triage.state.get())))
    };
    let clear = move || {
        let state = triage.state.get();
        (!state.is_unfiltered()).then(|| {
            let href = state.cleared().href(&latents_path(&triage.slug.get()));
            view! { " " <a href=href data-testid="clear">"Clear"</a> }
        })
    };
    view! {
        <p class="quiet" data-testid="count-line" aria-live="polite">
            {move || match text() {
                None => "Counting…".to_owned(),
                Some((shown, None)) => format!("Showing {shown}."),
                Some((shown, Some(why))) => format!("{shown}: {why}."),
            }}
            {clear}
        </p>
    }
}

/// Another dictionary with the same filters.
#[component]
fn DictionarySelect(slug: Memo<String>) -> impl IntoView {
    let explorer = explorer();
    let goto = use_goto();
    let query = leptos_router::hooks::use_location().search;
    move || {
        let study = explorer.study.get().filter(|s| s.dictionaries.len() > 1)?;
        let options = study
            .dictionaries
            .iter()
            .map(|d| {
                let (value, name) = (d.slug.clone(), d.slug.clone());
                let selected = {
                    let value = value.clone();
                    move || slug.get() == value
                };
                view! { <option value=value selected=selected>{name}</option> }
            })
            .collect_view();
        let choose = move |event: leptos::ev::Targeted<
            leptos::ev::Event,
            leptos::web_sys::HtmlSelectElement,
        >| {
            let state = TriageState::read(&query.get_untracked()).from_the_top();
            goto(&state.href(&latents_path(&event.target().value())));
        };
        Some(view! { <select aria-label="Dictionary" on:change:target=choose>{options}</select> })
    }
}
