//! Lanes side by side: the plain one, the one that is changed, and its control.

use api::{EffectsRequest, ModelName};
use leptos::prelude::*;

use super::{
    Page, control,
    editor::editor,
    output::output,
    sampling::{own, sampling},
    save::save,
    sweep,
};
use crate::{
    explorer::explorer,
    net::{divergences, load::use_body, request::Request},
    parts::{
        badge::tag,
        field::{Button, Select},
        keys::use_keys,
        live::{live, memo},
        states::fault_note,
    },
    state::{
        edit::{Edit, LaneForm},
        lab::LabState,
    },
};

/// The lanes, the button that runs them, and how tokens are chosen.
pub(super) fn section(page: Page) -> AnyView {
    let run = page.run;
    let ready = explorer().ready;
    let blank = move || page.draft.read().prompt.to_api().is_none();
    let toggle = move || {
        if run.busy.get_untracked() {
            run.stop();
        } else if ready.get_untracked() && !untrack(blank) {
            page.generate();
        }
    };
    use_keys(move |key, _| {
        if key == "g" {
            toggle();
        }
    });
    let hint = move || match (ready.get(), blank()) {
        (false, _) => "The models are not there.",
        (true, true) => "Type a prompt first.",
        _ => "",
    };
    let stale = move || {
        let asked = run.asked.read();
        let now = page
            .slug()
            .and_then(|slug| page.draft.read().generate(&slug));
        if asked.is_some() && *asked != now {
            "The settings changed since this run."
        } else {
            ""
        }
    };
    // What the lanes of the last run predict first, under teacher forcing of the same prompt.
    let effects = use_body(
        move || {
            let asked = run.asked.get()?;
            Some(Request::effects(&EffectsRequest {
                dictionary: asked.dictionary,
                prompt: asked.prompt,
                lanes: asked.lanes,
                generated: 0,
            }))
        },
        divergences::read,
    );
    let fault = live(move || run.fault.get().map(|fault| fault_note(&fault, None)));
    let edits = memo(move || page.draft.read().steered.edits.len());
    let editors = live(move || (0..edits.get()).map(|i| editor(page, i)).collect_view());
    let more = Button {
        test: Some("add-intervention"),
        ..Button::link("add an intervention")
    };
    let changed = move || {
        explorer().study.get().map_or(String::new(), |s| {
            format!("changed after block {}", s.layer)
        })
    };
    view! {
        <section class="stack" aria-labelledby="lanes-title">
            <div class="section-title run-line">
                <h2 id="lanes-title">"Lanes"</h2>
                {sampling(page)}
                <span class="aside small quiet" data-testid="stale">{stale}</span>
                {save(page)}
                <button
                    type="button"
                    class="primary"
                    data-testid="generate"
                    data-busy=move || if run.busy.get() { "true" } else { "false" }
                    disabled=move || !ready.get() || blank()
                    title=hint
                    on:click=move |_| toggle()
                >
                    {move || if run.busy.get() { "Stop" } else { "Generate" }}
                </button>
            </div>
            {fault}
            <div class="cols lanes">
                <section class="card lane" aria-label="Plain lane" data-testid="lane" data-lane="0">
                    <header><h3>"1"</h3>{model_select(page, |s| &mut s.plain, "Model of the plain lane", "plain-model")}<span class="small quiet">"as it is, for comparison"</span>{own(page, |s| s.plain.sampling.as_mut(), |s| &mut s.plain.sampling, "plain")}</header>
                    {output(run, effects, 0)}
                </section>
                <section class="card lane" aria-label="Steered lane" data-testid="lane" data-lane="1">
                    <header>
                        <h3>"2"</h3>
                        {model_select(page, |s| &mut s.steered, "Model of the steered lane", "steered-model")}
                        <span class="small quiet">{changed}</span>
                        <span class="aside">{control::button(page)}{more.doing(move || page.keep_lanes(|state| state.steered.edits.push(Edit::default())))}</span>
                        {own(page, |s| s.steered.sampling.as_mut(), |s| &mut s.steered.sampling, "steered")}
                    </header>
                    <div class="edits">{editors}</div>
                    {output(run, effects, 1)}
                </section>
                {control::card(page, effects)}
            </div>
            {sweep::card(page)}
            {page.names.options()}
        </section>
    }
    .into_any()
}

fn model_select(
    page: Page,
    of: fn(&mut LabState) -> &mut LaneForm,
    label: &'static str,
    test: &'static str,
) -> AnyView {
    let model = memo(move || of(&mut page.draft.get()).model);
    let select = Select::new(label, test, &[("chat", "chat"), ("base", "base")]);
    let choose = move |name: String| {
        let model = if name == "base" {
            ModelName::Base
        } else {
            ModelName::Chat
        };
        page.keep_lanes(|state| of(state).model = model);
    };
    let mark = live(move || tag(model.get().as_str(), ""));
    view! { {mark}{select.showing(move || model.get().as_str().to_owned(), choose)} }.into_any()
}
