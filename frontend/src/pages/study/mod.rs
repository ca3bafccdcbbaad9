//! The study at a glance.

mod concepts;
pub(super) mod dictionaries;
pub(super) mod effects;
pub(super) mod later;
pub(super) mod ratios;
mod start;
mod training;
mod walk;

use api::{GroundTruth, ModelInfo, StudyInfo};
use leptos::prelude::*;

use crate::{
    display::numbers::{UNKNOWN, count, rough},
    explorer::explorer,
    nav::{History, use_title, use_url_state},
    net::load::Load,
    parts::{
        badge::tag,
        card::Card,
        live::{live, memo},
        provenance::strip,
        share::share,
        states::{fault_note, skeleton, warning},
    },
    state::study::StudyState,
};

/// `/`.
#[component]
pub(crate) fn Study() -> impl IntoView {
    let explorer = explorer();
    use_title(Signal::derive(move || {
        explorer
            .study
            .get()
            .map_or("Study".into(), |study| study.name.clone())
    }));
    // The study is asked for again when the models' state changes; what is being typed here must survive that.
    let known = memo(move || {
        let revision = explorer.study.get().map(|study| study.revision.clone());
        (explorer.study.state.fault.get(), revision)
    });
    live(
        move || match (known.get(), explorer.study.data.get_untracked()) {
            ((Some(fault), _), _) => {
                let note = fault_note(&fault, Some(explorer.study.state));
                view! { <div class="stack"><h1>"The study"</h1>{note}</div> }.into_any()
            }
            (_, Some(study)) => page(&study),
            (_, None) => {
                view! { <div class="stack"><h1>"The study"</h1>{skeleton(8)}</div> }.into_any()
            }
        },
    )
}

fn page(study: &StudyInfo) -> AnyView {
    let later = later::Later::new();
    let truths = later.ask::<GroundTruth>(study, "truth");
    let scores = {
        let study = study.clone();
        move || concepts::table(&study)
    };
    let (state, set) = use_url_state::<StudyState>();
    let measured = memo(move || state.read().measured);
    let measure = Callback::new(move |measured| {
        let next = StudyState {
            measured,
            ..state.get_untracked()
        };
        set(next, History::Replace);
    });
    // What is below the walk comes once that is there, so that nothing jumps.
    let asked: Vec<_> = truths.iter().map(|(_, load)| *load).collect();
    let known = memo(move || {
        let answered =
            |load: &Load<GroundTruth>| load.is_there() || load.state.fault.get().is_some();
        asked.iter().all(answered)
    });
    let below = study.clone();
    let rest = live(move || {
        let study = &below;
        known.get().then(|| {
            view! {
                {start::cards(study)}
                {dictionaries::side_by_side(study)}
                {effects::card(study, later, measured, measure)}
                {ratios::card(study, later)}
                {training::card(study, later)}
                <div class="cols home">{models(study)}{provenance(study)}</div>
            }
            .into_any()
        })
    });
    let description = study.description.clone();
    let description = description.map(|text| view! { <p class="lead">{text}</p> }.into_any());
    view! {
        <div class="stack">
            <div class="title">
                <div><h1>{study.name.clone()}</h1>{description}</div>
                <div class="actions">{share()}</div>
            </div>
            {facts(study)}
            {walk::section(study, truths, scores)}
            {rest}
        </div>
    }
    .into_any()
}

fn facts(study: &StudyInfo) -> AnyView {
    let mut facts = vec![("hook point", format!("output of block {}", study.layer))];
    if let (Some(base), Some(chat)) = (&study.base, &study.chat) {
        facts.push((
            "models",
            format!(
                "{} → {}, {} parameters each",
                base.name,
                chat.name,
                rough(chat.parameters)
            ),
        ));
    }
    if !study.corpora.is_empty() {
        facts.push(("corpora", study.corpora.join(", ")));
    }
    strip(facts)
}

/// Everything that the study says of its making.
fn provenance(study: &StudyInfo) -> AnyView {
    if study.provenance.is_empty() {
        return ().into_any();
    }
    let fact = |(name, value): &(String, String)| {
        view! { <dt>{name.clone()}</dt><dd>{value.clone()}</dd> }.into_any()
    };
    let facts = study.provenance.iter().map(fact).collect_view();
    let body = view! { <div class="scroll tall" tabindex="0" role="region" aria-label="Facts, scrolling"><dl class="settings">{facts}</dl></div> };
    Card::new("provenance", "Where it comes from").holding(body.into_any())
}

fn models(study: &StudyInfo) -> AnyView {
    let row = |name: &'static str, of: fn(&ModelInfo) -> String| {
        let cell = |model: &Option<ModelInfo>| model.as_ref().map_or(UNKNOWN.into(), of);
        view! { <tr><th scope="row">{name}</th><td>{cell(&study.base)}</td><td>{cell(&study.chat)}</td></tr> }.into_any()
    };
    let template = study.template.clone().map(|template| {
        view! { <details class="twin"><summary>"Chat template"</summary><pre class="code" tabindex="0" role="group" aria-label="Chat template, scrolling">{template}</pre></details> }.into_any()
    });
    let reason = live(|| explorer().study.get()?.models.reason.clone().map(warning));
    let body = view! {
        {reason}
        <div class="scroll" tabindex="0" role="group" aria-labelledby="models">
            <table class="facts">
                <thead><tr><td></td><th scope="col">{tag("base", "base")}</th><th scope="col">{tag("chat", "chat")}</th></tr></thead>
                <tbody>
                    {row("name", |m| m.name.clone())}
                    {row("revision", |m| m.revision.clone().unwrap_or_else(|| UNKNOWN.into()))}
                    {row("parameters", |m| rough(m.parameters))}
                    {row("blocks × width", |m| format!("{} × {}", m.layers, count(m.hidden_size as u64)))}
                    {row("vocabulary", |m| count(m.vocab_size as u64))}
                    {row("context", |m| format!("{} tokens", count(m.context as u64)))}
                </tbody>
            </table>
        </div>
        {template}
    };
    Card::new("models", "Models")
        .remark(format!("{} · {}", study.device, study.dtype))
        .holding(body.into_any())
}
