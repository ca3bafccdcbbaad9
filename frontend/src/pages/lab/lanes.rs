//! Two lanes side by side: the plain one and the one that is changed.

use api::ModelName;
use leptos::{ev, prelude::*, web_sys::HtmlSelectElement};

use super::{Page, editor::Editor, output::OutputView, sampling::SamplingFields};
use crate::{
    explorer::explorer,
    parts::{keys::use_keys, states::fault_note},
    state::{
        edit::{Edit, LaneForm},
        lab::LabState,
    },
};

/// Both lanes, the button that runs them, and how tokens are chosen.
#[component]
pub(super) fn Lanes(page: Page) -> impl IntoView {
    let explorer = explorer();
    let ready = Memo::new(move |_| explorer.models.read().ready());
    let run = page.run;
    let toggle = move || {
        if run.busy.get_untracked() {
            run.stop();
        } else if ready.get_untracked() && page.draft.read_untracked().prompt.to_api().is_some() {
            page.generate();
        }
    };
    use_keys(move |key, _| {
        if key == "g" {
            toggle();
        }
    });
    let why_not = move || {
        if !ready.get() {
            Some("The models are not there.")
        } else if page.draft.read().prompt.to_api().is_none() {
            Some("Type a prompt first.")
        } else {
            None
        }
    };
    let stale = move || {
        let asked = run.asked.get()?;
        let now = page.draft.read().generate(&page.slug()?);
        (now.as_ref() != Some(&asked)).then_some("The settings changed since this run.")
    };
    let fault = move || {
        run.fault
            .get()
            .map(|fault| fault_note(&fault, Some(Callback::new(move |()| page.generate()))))
    };
    let count = Memo::new(move |_| page.draft.read().steered.edits.len());
    let editors = move || {
        (0..count.get())
            .map(|i| view! { <Editor page i /> })
            .collect_view()
    };
    let add = move |_| page.keep_lanes(|state| state.steered.edits.push(Edit::default()));
    view! {
        <section class="stack" aria-labelledby="lanes-title">
            <div class="section-title run-line">
                <h2 id="lanes-title">"Lanes"</h2>
                <SamplingFields page />
                <span class="aside small quiet" data-testid="stale">{stale}</span>
                <button
                    type="button"
                    class="primary"
                    data-testid="generate"
                    data-busy=move || run.busy.get().to_string()
                    disabled=move || why_not().is_some()
                    title=why_not
                    on:click=move |_| toggle()
                >
                    {move || if run.busy.get() { "Stop" } else { "Generate" }}
                </button>
            </div>
            {fault}
            <div class="cols lanes">
                <section class="card lane" aria-label="Plain lane" data-testid="lane" data-lane="0">
                    <header><h3>"1"</h3><ModelSelect page of=|s| &mut s.plain label="Model of the plain lane" /><span class="small quiet">"as it is"</span></header>
                    <OutputView run lane=0 />
                </section>
                <section class="card lane" aria-label="Steered lane" data-testid="lane" data-lane="1">
                    <header>
                        <h3>"2"</h3>
                        <ModelSelect page of=|s| &mut s.steered label="Model of the steered lane" />
                        <span class="small quiet">"changed after block " {move || explorer.study.get().map(|s| s.layer)}</span>
                        <button type="button" class="link small aside" data-testid="add-intervention" on:click=add>"add an intervention"</button>
                    </header>
                    <div class="edits">{editors}</div>
                    <OutputView run lane=1 />
                </section>
            </div>
            {page.names.options()}
        </section>
    }
}

#[component]
fn ModelSelect(
    page: Page,
    of: fn(&mut LabState) -> &mut LaneForm,
    label: &'static str,
) -> impl IntoView {
    let model = Memo::new(move |_| of(&mut page.draft.get()).model);
    let choose = move |event: ev::Targeted<ev::Event, HtmlSelectElement>| {
        let model = if event.target().value() == "base" {
            ModelName::Base
        } else {
            ModelName::Chat
        };
        page.keep_lanes(|state| of(state).model = model);
    };
    view! {
        <span class=move || format!("tag {}", model.get().as_str())><i aria-hidden="true"></i></span>
        <select class="small" aria-label=label on:change:target=choose prop:value=move || model.get().as_str()>
            <option value="chat">"chat"</option>
            <option value="base">"base"</option>
        </select>
    }
}
