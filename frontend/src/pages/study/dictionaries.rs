//! The study's dictionaries side by side.

use api::{DictionaryInfo, StudyInfo, Verdict};
use leptos::prelude::*;

use crate::{
    display::{
        numbers::{UNKNOWN, count, fixed, percent, rough},
        verdict::{class_rule, class_style, cuts_sentence, verdict_meaning, verdict_name},
    },
    explorer::explorer,
    nav::Address,
    parts::{
        badge::{meter, stat},
        histogram::{Bars, Tone},
        states::warning,
    },
    state::place::{Place, compare_path, latents_path},
};

/// One card per dictionary.
pub(in crate::pages) fn side_by_side(study: &StudyInfo) -> AnyView {
    let cards = study
        .dictionaries
        .iter()
        .map(|dictionary| card(study, dictionary))
        .collect_view();
    let title = if study.dictionaries.len() == 1 {
        "Dictionary"
    } else {
        "Dictionaries"
    };
    let compared = explorer().address.with_untracked(Address::place) == Place::Compare;
    let compare = study.dictionaries.first().zip(study.dictionaries.get(1));
    let compare = compare.filter(|_| !compared).map(|(left, right)| {
        let href = compare_path(&left.slug, &right.slug);
        view! { <a class="small" href=href data-testid="compare">"Compare them"</a> }.into_any()
    });
    view! {
        <section class="stack" aria-labelledby="dictionaries-title">
            <div class="section-title">
                <h2 id="dictionaries-title">{title}</h2>
                {compare}<p class="small quiet">{format!("Δ_norm: 1 = chat-only, 0 = base-only. Here {}.", cuts_sentence(&study.cuts))}</p>
            </div>
            <div class="cols dictionaries">{cards}</div>
        </section>
    }
    .into_any()
}

fn card(study: &StudyInfo, dictionary: &DictionaryInfo) -> AnyView {
    let path = latents_path(&dictionary.slug);
    let classes = dictionary.counts.classes.iter().map(|&(class, n)| {
        let href = format!("{path}?class={}", class.as_str());
        link(
            class_style(class),
            class.as_str(),
            n,
            href,
            class_rule(class, &study.cuts),
        )
    });
    let classes = classes.collect_view();
    let dead = dictionary.counts.dead.map(|n| {
        link(
            "",
            "dead",
            n,
            format!("{path}?dead=true"),
            "never active in the tokens analysed".into(),
        )
    });
    let reason = dictionary
        .analysis
        .reason
        .clone()
        .filter(|_| !dictionary.analysis.available);
    let histogram = Bars {
        histogram: dictionary.delta_norm.clone(),
        name: "Δ_norm",
        counted: "latents",
        tone: Tone::Classes(study.cuts),
        ticks: vec![0.0, 0.25, 0.5, 0.75, 1.0],
    };
    let remark = format!(
        "{} · {} latents",
        dictionary.kind,
        count(dictionary.latents as u64)
    );
    view! {
        <article class="card dictionary" data-testid="dictionary">
            <header>
                <h3><a href=path.clone()>{dictionary.slug.clone()}</a></h3>
                <span class="small quiet">{remark}</span>
                <a class="aside small" href=path.clone()>"All latents"</a>
            </header>
            {dictionary.note.clone().map(|note| view! { <p class="small quiet">{note}</p> }.into_any())}
            {histogram.show()}
            <div class="chips">{classes}{dead}</div>
            {verdicts(dictionary, &path)}
            {reason.map(warning)}
            {numbers(dictionary)}
        </article>
    }
    .into_any()
}

/// A count that leads to the latents counted.
fn link(style: &str, words: &'static str, n: u64, href: String, title: String) -> AnyView {
    let sign = (!style.is_empty()).then(|| view! { <i aria-hidden="true"></i> }.into_any());
    view! { <a class=format!("chip {style}") href=href title=title>{sign}{words}" "<b>{count(n)}</b></a> }.into_any()
}

/// What Latent Scaling says of the chat-only latents, as bars.
fn verdicts(dictionary: &DictionaryInfo, path: &str) -> AnyView {
    let counts = &dictionary.counts.verdicts;
    let judged: u64 = counts.iter().map(|(_, n)| n).sum();
    if judged == 0 {
        return ().into_any();
    }
    let line = |&(verdict, n): &(Verdict, u64)| {
        let class = if verdict == Verdict::ChatSpecific {
            "sure"
        } else {
            ""
        };
        let href = format!("{path}?class=chat-only&verdict={}", verdict.as_str());
        view! {
            <li class=class title=verdict_meaning(verdict)>
                <a href=href>{verdict_name(verdict)}</a>
                {meter(n as f64 / judged as f64)}
                <span class="num">{count(n)}</span>
            </li>
        }
        .into_any()
    };
    let lines = counts.iter().map(line).collect_view();
    view! { <h4>"Chat-only latents by verdict"</h4><ul class="verdicts">{lines}</ul> }.into_any()
}

fn numbers(dictionary: &DictionaryInfo) -> AnyView {
    let training = dictionary.training.clone().unwrap_or_default();
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| UNKNOWN.into()).into_any();
    let fve = |i: usize| {
        or_dash(
            training
                .fve
                .as_ref()
                .and_then(|fve| fve.get(i))
                .map(|x| fixed(*x, 3)),
        )
    };
    let l0 = or_dash(training.l0.map(|x| fixed(x, 1)));
    let dead = or_dash(training.dead_share.map(percent));
    let known: [(&str, Option<String>); 7] = [
        ("k", dictionary.k.map(|k| k.to_string())),
        ("threshold", dictionary.threshold.map(|t| fixed(t, 4))),
        (
            "code normalisation",
            Some(dictionary.code_normalization.clone()),
        ),
        (
            "activations normalised",
            Some(if dictionary.normalized { "yes" } else { "no" }.into()),
        ),
        ("tokens trained on", training.tokens.map(rough)),
        ("steps", training.steps.map(count)),
        ("tokens analysed", dictionary.tokens.map(rough)),
    ];
    let known = known
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let settings = known
        .chain(training.settings)
        .map(|(name, value)| view! { <dt>{name}</dt><dd>{value}</dd> }.into_any())
        .collect_view();
    view! {
        <div class="stats">
            {stat(fve(0), "FVE base".into_any())}
            {stat(fve(1), "FVE chat".into_any())}
            {stat(l0, "L0, active per token".into_any())}
            {stat(dead, "dead in training".into_any())}
        </div>
        <details class="twin"><summary>"How it was trained"</summary><dl class="settings">{settings}</dl></details>
    }
    .into_any()
}
