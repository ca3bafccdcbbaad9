//! One intervention as a form.

use api::{ModelName, Positions, StrengthUnit};
use leptos::{
    ev,
    prelude::*,
    web_sys::{HtmlInputElement, HtmlSelectElement},
};

use super::Page;
use crate::{
    display::scale::{amount_to_slider, slider_to_amount},
    state::edit::{Edit, EditKind, positions_text, read_positions},
};

type Select = ev::Targeted<ev::Event, HtmlSelectElement>;
type Input = ev::Targeted<ev::Event, HtmlInputElement>;

/// The fields of intervention `i` of the steered lane.
#[component]
pub(super) fn Editor(page: Page, i: usize) -> impl IntoView {
    let edit = Memo::new(move |_| {
        page.draft
            .read()
            .steered
            .edits
            .get(i)
            .cloned()
            .unwrap_or_default()
    });
    let kind = Memo::new(move |_| edit.read().kind);
    let keep = move |change: &dyn Fn(&mut Edit)| {
        page.keep_lanes(|state| {
            if let Some(edit) = state.steered.edits.get_mut(i) {
                change(edit);
            }
        });
    };
    let kinds = [
        (EditKind::Add, "add its direction"),
        (EditKind::Scale, "multiply its code"),
        (EditKind::Take, "take a model’s residual"),
        (EditKind::Move, "move codes to this model’s decoder"),
    ];
    let kind_options = kinds.map(|(value, words)| view! { <option value=value.as_str() selected=move || kind.get() == value>{words}</option> });
    let set_kind = move |event: Select| {
        let value = event.target().value();
        let Some(kind) = EditKind::ALL.into_iter().find(|k| k.as_str() == value) else {
            return;
        };
        keep(&|edit| {
            edit.kind = kind;
            edit.amount = if kind == EditKind::Move {
                1.0
            } else {
                kind.neutral()
            };
        });
    };
    let remove = move |_| {
        page.keep_lanes(|state| {
            if i < state.steered.edits.len() {
                state.steered.edits.remove(i);
            }
        });
    };
    let fields = move || match kind.get() {
        EditKind::Take => view! { <FromField edit keep=Keep::new(page, i) /> }.into_any(),
        kind => view! {
            <LatentsField page edit keep=Keep::new(page, i) />
            <AmountField page i edit kind />
        }
        .into_any(),
    };
    let details = move || {
        let kind = kind.get();
        let unit =
            (kind == EditKind::Add).then(|| view! { <UnitField edit keep=Keep::new(page, i) /> });
        let decoder = matches!(kind, EditKind::Add | EditKind::Scale)
            .then(|| view! { <DecoderField edit keep=Keep::new(page, i) /> });
        view! { {unit}{decoder} }
    };
    let last = move || page.draft.read().steered.edits.len() < 2;
    view! {
        <fieldset class="edit" data-testid="edit">
            <legend class="unseen">{format!("Intervention {}", i + 1)}</legend>
            <div class="line">
                <select aria-label="What the intervention does" data-testid="edit-kind" on:change:target=set_kind>{kind_options.collect_view()}</select>
                <button type="button" class="icon aside" class:gone=last aria-label="Remove this intervention" on:click=remove>"×"</button>
            </div>
            {fields}
            <div class="line details">{details}<PositionsField edit keep=Keep::new(page, i) /></div>
        </fieldset>
    }
}

/// Writes a change of one intervention into forms and address.
#[derive(Clone, Copy)]
struct Keep {
    page: Page,
    i: usize,
}

impl Keep {
    fn new(page: Page, i: usize) -> Self {
        Self { page, i }
    }

    fn run(self, change: impl Fn(&mut Edit)) {
        self.page.keep_lanes(|state| {
            if let Some(edit) = state.steered.edits.get_mut(self.i) {
                change(edit);
            }
        });
    }
}

#[component]
fn FromField(edit: Memo<Edit>, keep: Keep) -> impl IntoView {
    let choose = move |event: Select| {
        let model = if event.target().value() == "chat" {
            ModelName::Chat
        } else {
            ModelName::Base
        };
        keep.run(|edit| edit.from = model);
    };
    view! {
        <label class="field">
            <span>"whose"</span>
            <select on:change:target=choose prop:value=move || edit.read().from.as_str()>
                <option value="base">"base"</option>
                <option value="chat">"chat"</option>
            </select>
        </label>
    }
}

#[component]
fn LatentsField(page: Page, edit: Memo<Edit>, keep: Keep) -> impl IntoView {
    let wrong = RwSignal::new(None::<String>);
    let value = move || {
        let ids: Vec<String> = edit.read().latents.iter().map(u32::to_string).collect();
        ids.join(", ")
    };
    let typed = move |event: Input| {
        let text = event.target().value();
        let all = page
            .dictionary
            .with_untracked(|d| d.as_ref().map_or(usize::MAX, |d| d.latents));
        match read_ids(&text, all) {
            Ok(ids) => {
                wrong.set(None);
                keep.run(|edit| edit.latents.clone_from(&ids));
            }
            Err(why) => wrong.set(Some(why)),
        }
    };
    let hint = move || {
        let edit = edit.read();
        match (wrong.get(), edit.kind, edit.latents.as_slice()) {
            (Some(why), ..) => why,
            (None, EditKind::Move, []) => "all latents".into(),
            (None, _, []) => "name a latent to steer with".into(),
            (None, _, [id]) => page
                .names
                .row(*id)
                .and_then(|row| row.label)
                .unwrap_or_default(),
            (None, _, ids) => format!("{} latents", ids.len()),
        }
    };
    view! {
        <label class="field">
            <span>"latents"</span>
            <input type="text" inputmode="numeric" list="labelled" data-testid="edit-latents" placeholder="ids, for instance 17 or 17, 90" prop:value=value aria-invalid=move || wrong.get().map(|_| "true") on:change:target=typed />
            <span class="hint small quiet">{hint}</span>
        </label>
    }
}

/// Strength: a slider that is fine near its resting point, and a number.
#[component]
fn AmountField(page: Page, i: usize, edit: Memo<Edit>, kind: EditKind) -> impl IntoView {
    let keep = Keep::new(page, i);
    let amount = Memo::new(move |_| edit.read().amount);
    let scaled = kind == EditKind::Scale;
    let reach = Memo::new(move |_| match (kind, edit.read().unit) {
        (EditKind::Add, StrengthUnit::Norm | StrengthUnit::Raw) => 50.0,
        (EditKind::Add, StrengthUnit::MaxActivation) => 4.0,
        _ => 3.0,
    });
    let from_slider = move |position: f64| if scaled { (position * 20.0).round() / 20.0 } else { slider_to_amount(position, reach.get_untracked()) } as f32;
    let to_slider = move || {
        let amount = f64::from(amount.get());
        if scaled {
            amount
        } else {
            amount_to_slider(amount, reach.get())
        }
    };
    // While a field is being moved, only the form changes; the address follows at its end.
    let draft = move |x: f32| {
        page.draft.update(|d| {
            if let Some(edit) = d.steered.edits.get_mut(i) {
                edit.amount = x;
            }
        });
    };
    let number = |text: &str| text.trim().parse::<f32>().ok().filter(|x| x.is_finite());
    let set = move |x: f32| keep.run(|edit| edit.amount = x);
    let name = match kind {
        EditKind::Add => "strength",
        EditKind::Scale => "factor",
        EditKind::Move | EditKind::Take => "scale",
    };
    let neutral = kind.neutral();
    let words = move || match (kind, edit.read().unit) {
        (EditKind::Add, StrengthUnit::MaxActivation) => "× its natural maximum",
        (EditKind::Add, StrengthUnit::Norm) => "unit lengths",
        (EditKind::Add, StrengthUnit::Raw) => "decoder rows",
        (EditKind::Scale, _) => "0 ablates, 1 changes nothing",
        (EditKind::Move | EditKind::Take, _) => "−1 undoes",
    };
    let (low, high) = if scaled { ("0", "5") } else { ("-1", "1") };
    view! {
        <div class="field amount">
            <span>{name}</span>
            <input
                type="range"
                data-testid="strength-slider"
                aria-label=name
                aria-valuetext=move || format!("{} {}", amount.get(), words())
                min=low
                max=high
                step=if scaled { "0.05" } else { "0.01" }
                list=if scaled { "factors" } else { "detent" }
                prop:value=move || to_slider().to_string()
                on:input:target=move |event: Input| if let Some(p) = number(&event.target().value()) { draft(from_slider(p.into())); }
                on:change:target=move |event: Input| if let Some(p) = number(&event.target().value()) { set(from_slider(p.into())); }
            />
            <input
                type="number"
                step="any"
                data-testid="strength"
                aria-label=format!("{name} as a number")
                prop:value=move || amount.get().to_string()
                on:input:target=move |event: Input| if let Some(x) = number(&event.target().value()) { draft(x); }
                on:change:target=move |event: Input| if let Some(x) = number(&event.target().value()) { set(x); }
            />
            <button type="button" class="link small" title="Back to where it changes nothing" on:click=move |_| set(neutral)>{format!("to {neutral}")}</button>
            <span class="hint small quiet">{words}</span>
            <datalist id="detent"><option value="0"></option></datalist>
            <datalist id="factors"><option value="0"></option><option value="1"></option></datalist>
        </div>
    }
}

#[component]
fn UnitField(edit: Memo<Edit>, keep: Keep) -> impl IntoView {
    let units = [
        (StrengthUnit::MaxActivation, "max", "its maximum"),
        (StrengthUnit::Norm, "norm", "unit length"),
        (StrengthUnit::Raw, "raw", "as stored"),
    ];
    let unit = Memo::new(move |_| edit.read().unit);
    let options = units.map(|(value, name, words)| view! { <option value=name selected=move || unit.get() == value>{words}</option> });
    let choose = move |event: Select| {
        let name = event.target().value();
        if let Some((unit, ..)) = units.iter().find(|u| u.1 == name) {
            keep.run(|edit| edit.unit = *unit);
        }
    };
    view! { <label class="field small"><span>"unit"</span><select data-testid="edit-unit" on:change:target=choose>{options.collect_view()}</select></label> }
}

#[component]
fn DecoderField(edit: Memo<Edit>, keep: Keep) -> impl IntoView {
    let choices = [
        (None, "own", "the lane’s"),
        (Some(ModelName::Base), "base", "base"),
        (Some(ModelName::Chat), "chat", "chat"),
    ];
    let decoder = Memo::new(move |_| edit.read().decoder);
    let options = choices.map(|(value, name, words)| view! { <option value=name selected=move || decoder.get() == value>{words}</option> });
    let choose = move |event: Select| {
        let name = event.target().value();
        if let Some((decoder, ..)) = choices.iter().find(|c| c.1 == name) {
            keep.run(|edit| edit.decoder = *decoder);
        }
    };
    view! { <label class="field small"><span>"decoder"</span><select data-testid="edit-decoder" on:change:target=choose>{options.collect_view()}</select></label> }
}

#[component]
fn PositionsField(edit: Memo<Edit>, keep: Keep) -> impl IntoView {
    const NAMED: [(&str, &str); 7] = [
        ("all", "every token"),
        ("prompt", "the prompt"),
        ("generated", "generated tokens"),
        ("template", "template tokens"),
        ("content", "content tokens"),
        ("first_answer-10", "first tokens of each answer"),
        ("0", "these positions"),
    ];
    let positions = Memo::new(move |_| edit.read().positions.clone());
    let name = move || match positions.get() {
        Positions::FirstAnswer(_) => "first_answer-10".to_owned(),
        Positions::List(_) => "0".to_owned(),
        named => positions_text(&named),
    };
    let options = NAMED.map(|(value, words)| view! { <option value=value selected=move || name() == value>{words}</option> });
    let choose = move |event: Select| {
        if let Some(positions) = read_positions(&event.target().value()) {
            keep.run(|edit| edit.positions = positions.clone());
        }
    };
    let more = move || match positions.get() {
        Positions::FirstAnswer(k) => {
            let typed = move |event: Input| {
                if let Ok(k) = event.target().value().parse() {
                    keep.run(|edit| edit.positions = Positions::FirstAnswer(k));
                }
            };
            Some(view! { <input type="number" min="1" class="id" aria-label="How many" prop:value=k on:change:target=typed /> }.into_any())
        }
        Positions::List(list) => {
            let text = positions_text(&Positions::List(list));
            let typed = move |event: Input| {
                if let Some(positions) = read_positions(&event.target().value()) {
                    keep.run(|edit| edit.positions = positions.clone());
                }
            };
            Some(view! { <input type="text" class="id" aria-label="Positions, from 0 at BOS" prop:value=text on:change:target=typed /> }.into_any())
        }
        _ => None,
    };
    view! { <label class="field small"><span>"at"</span><select data-testid="edit-positions" on:change:target=choose>{options.collect_view()}</select></label>{more} }
}

/// Latent ids separated by commas or blanks.
fn read_ids(text: &str, all: usize) -> Result<Vec<u32>, String> {
    let mut ids: Vec<u32> = Vec::new();
    for word in text.split([',', ' ', ';']).filter(|word| !word.is_empty()) {
        let id: u32 = word
            .parse()
            .map_err(|_| format!("“{word}” is no latent id"))?;
        if id as usize >= all {
            return Err(format!("{id} is no latent: the dictionary has {all}"));
        }
        if ids.contains(&id) {
            return Err(format!("{id} is named twice"));
        }
        ids.push(id);
    }
    Ok(ids)
}
