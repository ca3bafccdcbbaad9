//! The study's argument in five steps, where its truth is known: what tuning added, what dictionaries claim of it, what Latent Scaling
//! leaves of the claims, which latents know which concept, and what steering by them does.

mod concepts;
mod steering;

use std::sync::Arc;

use api::{GroundTruth, StudyInfo};
use leptos::prelude::*;

use super::later::{Loads, shown};
use crate::parts::signal::Memo;
use crate::{
    display::{
        behaviours,
        claims::{self, Claims},
        verdict::class_rule,
    },
    nav::{History, use_url_state},
    parts::{
        dictionary::dictionary_select,
        live::{live, memo},
        states::empty,
        twin::twin,
    },
    state::study::StudyState,
};

/// A dictionary's slug and what is known of it.
type Known = (String, Arc<GroundTruth>);

/// The walk, or `instead` where the study has no ground truth.
pub(super) fn section(
    study: &StudyInfo,
    truths: Loads<GroundTruth>,
    instead: impl Fn() -> AnyView + Send + 'static,
) -> AnyView {
    let study = Arc::new(study.clone());
    let (state, set) = use_url_state::<StudyState>();
    let choose = Callback::new(move |slug: String| {
        let truth = Some(slug);
        let next = StudyState {
            truth,
            ..state.get_untracked()
        };
        set(next, History::Replace);
    });
    let chosen = memo(move || state.read().truth.clone());
    live(move || {
        shown(&truths, 12, |mut known| {
            known.retain(|(_, truth)| !truth.concepts.is_empty());
            if known.is_empty() {
                instead()
            } else {
                steps(&study, known, chosen, choose)
            }
        })
    })
}

fn steps(
    study: &Arc<StudyInfo>,
    known: Vec<Known>,
    chosen: Memo<Option<String>>,
    choose: Callback<String>,
) -> AnyView {
    let first = known.first().map(|(_, truth)| truth.clone());
    let added = first.map(|truth| added(&truth));
    // Which dictionary the last two steps speak of.
    let slug = {
        let first = known.first().map(|k| k.0.clone()).unwrap_or_default();
        memo(move || chosen.get().unwrap_or_else(|| first.clone()))
    };
    let menu = (study.dictionaries.len() > 1)
        .then(|| dictionary_select(move || slug.get(), move |slug| choose.run(slug)));
    let known = Arc::new(known);
    let of = move |show: fn(&Known) -> AnyView| {
        let known = known.clone();
        live(move || match known.iter().find(|k| k.0 == *slug.read()) {
            Some(known) => show(known),
            None => empty("This dictionary was not held against the truth."),
        })
    };
    let (concepts, steering) = (of(concepts::list), of(steering::charts));
    view! {
        <section class="stack walk" aria-labelledby="walk-title" data-testid="walk">
            <div class="section-title">
                <h2 id="walk-title">"What tuning added, and whether the latents know it"</h2>
                <p class="small quiet">"Every prompt’s concept is known here, so every claim can be checked. Five steps."</p>
            </div>
            <ol class="stack">
                {added}
                {claimed(study)}
                {step("knows", "Which latents know the concepts", menu, concepts)}
                {step("steers", "What steering by them does", None, steering)}
            </ol>
        </section>
    }
    .into_any()
}

/// A numbered card.
fn step(id: &'static str, title: &'static str, beside: Option<AnyView>, body: AnyView) -> AnyView {
    view! {
        <li class="card step" aria-labelledby=id data-testid=format!("walk-{id}")>
            <header><h3 id=id>{title}</h3><span class="aside">{beside}</span></header>
            {body}
        </li>
    }
    .into_any()
}

/// What the chat model does that the base does not.
fn added(truth: &Arc<GroundTruth>) -> AnyView {
    if truth.behaviours.is_empty() {
        return ().into_any();
    }
    let table = {
        let truth = truth.clone();
        move || behaviours::table(&truth.behaviours)
    };
    let body = view! {
        <p>{behaviours::summary(&truth.behaviours)}</p>
        <p class="legend small quiet">
            <span><span class="two-bars" aria-hidden="true"><b class="base"></b></span>"base"</span>
            <span><span class="two-bars" aria-hidden="true"><b class="chat"></b></span>"chat"</span>
            <span>"share of prompts answered as the concept asks"</span>
        </p>
        <ul class="behaviours" data-testid="behaviours" inner_html=behaviours::picture(&truth.behaviours)></ul>
        {twin(table)}
    };
    step("added", "What tuning added", None, body.into_any())
}

/// What dictionaries claim, and what Latent Scaling leaves of it.
fn claimed(study: &StudyInfo) -> AnyView {
    let all: Vec<Claims<'_>> = study.dictionaries.iter().map(Claims::of).collect();
    let claim = |of: &Claims<'_>| {
        view! { <li><a href=of.href()><b>{of.claimed()}</b></a><span>{of.sentence()}</span></li> }
            .into_any()
    };
    let claim = all.iter().map(claim).collect_view();
    let rule = class_rule(api::Class::ChatOnly, &study.cuts);
    let claims_body = view! {
        <p>{format!("Latents whose decoder is in the chat model alone, by the length of its rows ({rule}):")}</p>
        <ul class="claims" data-testid="claims">{claim}</ul>
    };
    let suspects: Vec<String> = all.iter().map(Claims::flagged).collect();
    let words = format!(
        "Suspects, which the base model has too though the decoder does not show it: {}.",
        suspects.join(", ")
    );
    let verdicts_body = view! {
        <p>{words}</p>
        <ul class="judged" data-testid="judged" inner_html=claims::picture(&all)></ul>
        <ul class="judged-legend small quiet" inner_html=claims::legend(&all)></ul>
    };
    view! {
        {step("claims", "What dictionaries claim", None, claims_body.into_any())}
        {step("judges", "What Latent Scaling says of the claims", None, verdicts_body.into_any())}
    }
    .into_any()
}
