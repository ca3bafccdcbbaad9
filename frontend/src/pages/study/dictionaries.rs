//! The study's dictionaries side by side.

use api::{Class, DictionaryInfo, StudyInfo, Verdict};
use leptos::prelude::*;

use crate::{
    display::{
        numbers::{UNKNOWN, count, fixed, percent, rough},
        verdict::{class_rule, class_style, cuts_sentence, verdict_meaning, verdict_name},
    },
    nav::latents_path,
    parts::histogram::{Bars, Tone},
};

/// One card per dictionary.
pub(crate) fn side_by_side(study: &StudyInfo) -> AnyView {
    let cards = study
        .dictionaries
        .iter()
        .map(|dictionary| card(study, dictionary))
        .collect_view();
    view! {
        <section class="stack" aria-labelledby="dictionaries-title">
            <div class="section-title">
                <h2 id="dictionaries-title">{if study.dictionaries.len() == 1 { "Dictionary" } else { "Dictionaries" }}</h2>
                <p class="small quiet">{format!("Δ_norm: 1 = chat-only, 0 = base-only. Here {}.", cuts_sentence(&study.cuts))}</p>
            </div>
            <div class="cols dictionaries">{cards}</div>
        </section>
    }
    .into_any()
}

fn card(study: &StudyInfo, dictionary: &DictionaryInfo) -> AnyView {
    let path = latents_path(&dictionary.slug);
    let classes = dictionary
        .counts
        .classes
        .iter()
        .map(|&(class, n)| class_link(study, &path, class, n))
        .collect_view();
    let dead = dictionary.counts.dead.map(|n| {
        view! { <a class="chip" href=format!("{path}?dead=true")>"dead " <b>{count(n)}</b></a> }
    });
    let reason = dictionary
        .analysis
        .reason
        .clone()
        .filter(|_| !dictionary.analysis.available);
    view! {
        <article class="card dictionary" data-testid="dictionary">
            <header>
                <h3><a href=path.clone()>{dictionary.slug.clone()}</a></h3>
                <span class="small quiet">{format!("{} · {} latents", dictionary.kind, count(dictionary.latents as u64))}</span>
                <a class="aside small" href=path.clone()>"All latents"</a>
            </header>
            {dictionary.note.clone().map(|note| view! { <p class="small quiet note-text">{note}</p> })}
            <Bars
                histogram=dictionary.delta_norm.clone()
                name="Δ_norm"
                counted="latents"
                tone=Tone::Classes(study.cuts)
                ticks=vec![0.0, 0.25, 0.5, 0.75, 1.0]
            />
            <div class="chips">{classes}{dead}</div>
            {verdicts(dictionary, &path)}
            {reason.map(|reason| view! { <p class="note warn">{reason}</p> })}
            {numbers(dictionary)}
        </article>
    }
    .into_any()
}

fn class_link(study: &StudyInfo, path: &str, class: Class, n: u64) -> AnyView {
    view! {
        <a class=format!("chip {}", class_style(class)) href=format!("{path}?class={}", class.as_str()) title=class_rule(class, &study.cuts)>
            <i aria-hidden="true"></i>
            {class.as_str()}
            " "
            <b>{count(n)}</b>
        </a>
    }
    .into_any()
}

/// What Latent Scaling says of the chat-only latents, as bars.
fn verdicts(dictionary: &DictionaryInfo, path: &str) -> AnyView {
    let counts: Vec<(Verdict, u64)> = dictionary.counts.verdicts.clone();
    let judged: u64 = counts.iter().map(|(_, n)| n).sum();
    if judged == 0 {
        return ().into_any();
    }
    let line = |&(verdict, n): &(Verdict, u64)| {
        let share = n as f64 / judged as f64;
        let href = format!("{path}?class=chat-only&verdict={}", verdict.as_str());
        view! {
            <li class:sure=verdict == Verdict::ChatSpecific title=verdict_meaning(verdict)>
                <a href=href>{verdict_name(verdict)}</a>
                <span class="meter" aria-hidden="true"><b style=("width", format!("{:.1}%", share * 100.0))></b></span>
                <span class="num">{count(n)}</span>
            </li>
        }
    };
    let lines = counts.iter().map(line).collect_view();
    view! { <h4>"Chat-only latents by verdict"</h4><ul class="verdicts">{lines}</ul> }.into_any()
}

fn numbers(dictionary: &DictionaryInfo) -> AnyView {
    let training = dictionary.training.clone().unwrap_or_default();
    let dash = || UNKNOWN.to_owned();
    let (base, chat) = training.fve.map_or((dash(), dash()), |[base, chat]| {
        (fixed(base, 3), fixed(chat, 3))
    });
    let stat = |value: String, name: &'static str| view! { <div class="stat"><b>{value}</b><span>{name}</span></div> };
    let mut settings: Vec<(String, String)> = Vec::new();
    let mut setting = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            settings.push((name.to_owned(), value));
        }
    };
    setting("k", dictionary.k.map(|k| k.to_string()));
    setting("threshold", dictionary.threshold.map(|t| fixed(t, 4)));
    setting(
        "code normalisation",
        Some(dictionary.code_normalization.clone()),
    );
    setting(
        "activations normalised",
        Some(if dictionary.normalized { "yes" } else { "no" }.into()),
    );
    setting("tokens trained on", training.tokens.map(rough));
    setting("steps", training.steps.map(count));
    setting("tokens analysed", dictionary.tokens.map(rough));
    settings.extend(training.settings);
    let settings = settings
        .into_iter()
        .map(|(name, value)| view! { <dt>{name}</dt><dd>{value}</dd> })
        .collect_view();
    view! {
        <div class="stats">
            {stat(base, "FVE base")}
            {stat(chat, "FVE chat")}
            {stat(training.l0.map_or_else(dash, |x| fixed(x, 1)), "L0, active per token")}
            {stat(training.dead_share.map_or_else(dash, percent), "dead in training")}
        </div>
        <details class="twin"><summary>"How it was trained"</summary><dl class="settings">{settings}</dl></details>
    }
    .into_any()
}
