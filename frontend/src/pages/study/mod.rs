//! The study at a glance.

mod concepts;
mod dictionaries;
mod start;

use std::sync::Arc;

use api::{ModelInfo, StudyInfo};
use leptos::prelude::*;

use crate::{
    display::numbers::{count, rough},
    explorer::explorer,
    nav::use_title,
    parts::{share::Share, states::loaded},
};

/// `/`.
#[component]
pub(crate) fn Study() -> impl IntoView {
    let explorer = explorer();
    use_title(move || {
        explorer
            .study
            .get()
            .map_or("Study".into(), |study| study.name.clone())
    });
    loaded(explorer.study, 8, |study| page(&study))
}

fn page(study: &Arc<StudyInfo>) -> AnyView {
    let facts = facts(study);
    view! {
        <div class="stack">
            <div class="title">
                <div>
                    <p class="small quiet">"Study"</p>
                    <h1>{study.name.clone()}</h1>
                    {study.description.clone().map(|text| view! { <p class="lead">{text}</p> })}
                </div>
                <div class="actions"><Share /></div>
            </div>
            {facts}
            <start::Start study=study.clone() />
            {dictionaries::side_by_side(study)}
            {concepts::table(study)}
            {models(study)}
        </div>
    }
    .into_any()
}

fn facts(study: &StudyInfo) -> AnyView {
    let given = study
        .provenance
        .iter()
        .map(|(name, value)| view! { <span>{name.clone()} " " <b>{value.clone()}</b></span> })
        .collect_view();
    let corpora = (!study.corpora.is_empty())
        .then(|| view! { <span>"corpora " <b>{study.corpora.join(", ")}</b></span> });
    view! {
        <p class="provenance" data-testid="provenance">
            <span>"hook point " <b>{format!("output of block {}", study.layer)}</b></span>
            {corpora}
            {given}
        </p>
    }
    .into_any()
}

fn models(study: &StudyInfo) -> AnyView {
    let row = |name: &'static str, of: fn(&ModelInfo) -> String| {
        let cell = |model: &Option<ModelInfo>| model.as_ref().map_or("–".into(), of);
        view! { <tr><th scope="row">{name}</th><td>{cell(&study.base)}</td><td>{cell(&study.chat)}</td></tr> }
    };
    let reason = study.models.reason.clone();
    let template = study.template.clone().map(|template| {
        view! { <details class="twin"><summary>"Chat template"</summary><pre class="code">{template}</pre></details> }
    });
    view! {
        <section class="card" aria-labelledby="models-title">
            <header><h2 id="models-title">"Models"</h2><span class="aside small quiet">{format!("{} · {}", study.device, study.dtype)}</span></header>
            {reason.map(|reason| view! { <p class="note warn">{reason}</p> })}
            <div class="scroll">
                <table class="facts">
                    <thead><tr><td></td><th scope="col"><span class="tag base"><i aria-hidden="true"></i>"base"</span></th><th scope="col"><span class="tag chat"><i aria-hidden="true"></i>"chat"</span></th></tr></thead>
                    <tbody>
                        {row("name", |m| m.name.clone())}
                        {row("revision", |m| m.revision.clone().unwrap_or_else(|| "–".into()))}
                        {row("parameters", |m| rough(m.parameters))}
                        {row("blocks × width", |m| format!("{} × {}", m.layers, count(m.hidden_size as u64)))}
                        {row("vocabulary", |m| count(m.vocab_size as u64))}
                        {row("context", |m| format!("{} tokens", count(m.context as u64)))}
                    </tbody>
                </table>
            </div>
            {template}
        </section>
    }
    .into_any()
}
