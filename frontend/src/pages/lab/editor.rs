//! One intervention as a form.

use api::{ModelName, StrengthUnit};
use leptos::{ev, prelude::*, web_sys::HtmlInputElement};

use super::{Page, places, sweep};
use crate::parts::signal::{Memo, RwSignal};
use crate::{
    display::{
        decimal::{self, shortest},
        scale::{amount_to_slider, slider_to_amount},
    },
    parts::{
        field::{Button, Field, Select},
        live::{live, memo},
    },
    state::edit::{Edit, EditKind, read_ids},
};

type Input = ev::Targeted<ev::Event, HtmlInputElement>;

const KINDS: [(&str, &str); 7] = [
    ("add", "add its direction"),
    ("scale", "multiply its code"),
    ("take", "take a model’s residual"),
    ("move", "move codes to this model’s decoder"),
    ("clamp", "set its activation"),
    ("project_out", "take its direction out"),
    ("reconstruct", "take the dictionary’s reconstruction"),
];
type Unit = (&'static str, &'static str, StrengthUnit);
const UNITS: [Unit; 3] = [
    ("max", "its maximum", StrengthUnit::MaxActivation),
    ("norm", "unit length", StrengthUnit::Norm),
    ("raw", "as stored", StrengthUnit::Raw),
];

const CLAMP_UNITS: [Unit; 2] = [
    ("max", "its maximum", StrengthUnit::MaxActivation),
    ("raw", "v itself", StrengthUnit::Raw),
];

/// The intervention that a form edits.
#[derive(Clone, Copy)]
pub(super) struct Target {
    page: Page,
    i: usize,
    /// What the form holds.
    pub(super) edit: Memo<Edit>,
}

impl Target {
    /// Writes a change into form and address.
    pub(super) fn keep(self, change: impl Fn(&mut Edit)) {
        self.page.keep_lanes(|state| {
            if let Some(edit) = state.steered.edits.get_mut(self.i) {
                change(edit);
            }
        });
    }

    /// Changes the amount in the form alone, while a field is being moved; the address follows at its end.
    fn draft_amount(self, amount: f64) {
        self.page.draft.update(|draft| {
            if let Some(edit) = draft.steered.edits.get_mut(self.i) {
                edit.amount = amount;
            }
        });
    }
}

/// The fields of intervention `i` of the steered lane.
pub(super) fn editor(page: Page, i: usize) -> AnyView {
    let edit = memo(move || {
        page.draft
            .read()
            .steered
            .edits
            .get(i)
            .cloned()
            .unwrap_or_default()
    });
    let kind = memo(move || edit.read().kind);
    let target = Target { page, i, edit };
    let choose = move |name: String| {
        let chosen = EditKind::ALL.into_iter().find(|k| k.as_str() == name);
        if let Some(kind) = chosen {
            target.keep(|edit| {
                (edit.kind, edit.amount) = (kind, kind.first_amount());
                edit.unit = StrengthUnit::MaxActivation;
            });
        }
    };
    let menu = Select::new("What the intervention does", "edit-kind", &KINDS)
        .showing(move || kind.get().as_str().to_owned(), choose);
    let remove = live(move || {
        let more = page.draft.read().steered.edits.len() > 1;
        let button = Button {
            class: "icon aside",
            label: Some("Remove this intervention"),
            ..Button::new("×")
        };
        let remove = move || {
            page.keep_lanes(|state| {
                if i < state.steered.edits.len() {
                    state.steered.edits.remove(i);
                }
            });
        };
        more.then(|| button.doing(remove))
    });
    let fields = live(move || match kind.get() {
        EditKind::Take => source(target),
        kind => {
            let amount = kind.has_amount().then(|| amount(target, kind));
            let latents = kind.has_latents().then(|| latents(target));
            view! { {latents}{amount} }.into_any()
        }
    });
    let details = live(move || {
        let kind = kind.get();
        let unit = kind.has_unit().then(|| unit(target, kind));
        let decoder = kind.has_decoder().then(|| decoder(target));
        view! { {unit}{decoder} }.into_any()
    });
    view! {
        <fieldset class="edit" data-testid="edit">
            <legend class="unseen">{format!("Intervention {}", i + 1)}</legend>
            <div class="line">{menu}{sweep::button(page, target, i)}{remove}</div>
            {fields}
            <div class="line details">{details}{places::field(target)}</div>
        </fieldset>
    }
    .into_any()
}

fn row(name: &'static str, field: AnyView) -> AnyView {
    view! { <div class="pair"><span aria-hidden="true">{name}</span>{field}</div> }.into_any()
}

fn source(target: Target) -> AnyView {
    let select = Select::new(
        "Whose residual",
        "edit-from",
        &[("base", "base"), ("chat", "chat")],
    );
    let choose = move |name: String| {
        let model = if name == "chat" {
            ModelName::Chat
        } else {
            ModelName::Base
        };
        target.keep(|edit| edit.from = model);
    };
    row(
        "whose",
        select.showing(move || target.edit.read().from.as_str().to_owned(), choose),
    )
}

fn unit(target: Target, kind: EditKind) -> AnyView {
    let units: &[Unit] = if kind == EditKind::Clamp {
        &CLAMP_UNITS
    } else {
        &UNITS
    };
    let choices: Vec<(&str, &str)> = units.iter().map(|u| (u.0, u.1)).collect();
    let shown = move || {
        let unit = target.edit.read().unit;
        units
            .iter()
            .find(|u| u.2 == unit)
            .map_or(String::new(), |u| u.0.to_owned())
    };
    let choose = move |name: String| {
        if let Some((.., unit)) = units.iter().find(|u| u.0 == name) {
            target.keep(|edit| edit.unit = *unit);
        }
    };
    row(
        "unit",
        Select::new("Unit of the strength", "edit-unit", &choices).showing(shown, choose),
    )
}

fn decoder(target: Target) -> AnyView {
    let select = Select::new(
        "Whose decoder rows",
        "edit-decoder",
        &[("own", "the lane’s"), ("base", "base"), ("chat", "chat")],
    );
    let choose = move |name: String| {
        let decoder = ModelName::BOTH.into_iter().find(|m| m.as_str() == name);
        target.keep(|edit| edit.decoder = decoder);
    };
    row(
        "decoder",
        select.showing(
            move || {
                target
                    .edit
                    .read()
                    .decoder
                    .map_or("own", ModelName::as_str)
                    .to_owned()
            },
            choose,
        ),
    )
}

fn latents(target: Target) -> AnyView {
    let page = target.page;
    let wrong = RwSignal::new(None::<String>);
    let value = move || {
        let ids: Vec<String> = target
            .edit
            .read()
            .latents
            .iter()
            .map(u32::to_string)
            .collect();
        ids.join(", ")
    };
    let entered = move |text: String| {
        let all = page
            .dictionary
            .read_untracked()
            .as_ref()
            .map_or(usize::MAX, |d| d.latents);
        match read_ids(&text, all) {
            Ok(ids) => {
                wrong.set(None);
                target.keep(|edit| edit.latents.clone_from(&ids));
            }
            Err(why) => wrong.set(Some(why)),
        }
    };
    let hint = move || {
        let edit = target.edit.read();
        match (wrong.get(), edit.kind, edit.latents.as_slice()) {
            (Some(why), ..) => why,
            (None, EditKind::Move, []) => "all latents".into(),
            (None, _, []) => "name a latent to steer with".into(),
            (None, _, [id]) => page.names.label(*id).unwrap_or_default(),
            (None, _, ids) => format!("{} latents", ids.len()),
        }
    };
    let field = Field {
        kind: "text",
        label: "Latents",
        test: "edit-latents",
        placeholder: "ids, for instance 17 or 17, 90",
        list: Some("labelled"),
    };
    let body = view! { {field.showing(value, entered)}<span class="hint small quiet" class:wrong=move || wrong.read().is_some() role="status">{hint}</span> };
    row("latents", body.into_any())
}

/// Strength: a slider that is fine near its resting point, and a number.
fn amount(target: Target, kind: EditKind) -> AnyView {
    let edit = target.edit;
    let scaled = kind == EditKind::Scale;
    let reach = move || match (kind, edit.read().unit) {
        (EditKind::Add | EditKind::Clamp, StrengthUnit::MaxActivation) => 4.0,
        (EditKind::Add | EditKind::Clamp, _) => 50.0,
        _ => 3.0,
    };
    let number = |text: &str| decimal::read(text.trim());
    let from_slider = move |text: &str| {
        let position = number(text)?;
        Some(if scaled {
            (position * 20.0).round() / 20.0
        } else {
            slider_to_amount(position, untrack(reach))
        })
    };
    let position = move || {
        let amount = edit.read().amount;
        shortest(if scaled {
            amount
        } else {
            amount_to_slider(amount, reach())
        })
    };
    let draft = move |x: Option<f64>| {
        if let Some(x) = x {
            target.draft_amount(x);
        }
    };
    let keep = move |x: Option<f64>| {
        if let Some(x) = x {
            target.keep(|edit| edit.amount = x);
        }
    };
    let name = kind.amount_name();
    let words = move || match (kind, edit.read().unit) {
        (EditKind::Add, StrengthUnit::MaxActivation) => "× its natural maximum",
        (EditKind::Add, StrengthUnit::Norm) => "unit lengths",
        (EditKind::Add, StrengthUnit::Raw) => "decoder rows",
        (EditKind::Scale, _) => "× its code; 1 changes nothing, 0 ablates, below 0 opposes",
        (EditKind::Clamp, StrengthUnit::MaxActivation) => {
            "× its natural maximum, firing or not; 0 ablates"
        }
        (EditKind::Clamp, _) => "v, firing or not; 0 ablates",
        _ => "× the difference of the decoders; −1 undoes",
    };
    let (low, high, step, detent) = match kind {
        EditKind::Scale => ("-2", "5", "0.05", "factors"),
        EditKind::Clamp => ("0", "1", "0.01", "detent"),
        _ => ("-1", "1", "0.01", "detent"),
    };
    let field = Field::number(name, "strength").following(
        move || shortest(edit.read().amount),
        move |text| draft(number(&text)),
        move |text| keep(number(&text)),
    );
    let reset = Button::link("").saying(format!("to {}", shortest(kind.neutral())), move || {
        keep(Some(kind.neutral()));
    });
    view! {
        <div class="pair amount">
            <span aria-hidden="true">{name}</span>
            <input
                type="range"
                data-testid="strength-slider"
                aria-label=format!("{name}, slider")
                aria-valuetext=move || format!("{} {}", shortest(edit.read().amount), words())
                min=low
                max=high
                step=step
                list=detent
                prop:value=position
                on:input:target=move |event: Input| draft(from_slider(&event.target().value()))
                on:change:target=move |event: Input| keep(from_slider(&event.target().value()))
            />
            {field}
            {reset}
            <span class="hint small quiet">{words}</span>
            <datalist id=detent><option value="0"></option>{scaled.then(|| view! { <option value="1"></option> }.into_any())}</datalist>
        </div>
    }
    .into_any()
}
