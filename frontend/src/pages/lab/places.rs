//! Where an intervention acts, as a form.

use api::Positions;
use leptos::prelude::*;

use super::editor::Target;
use crate::{
    parts::{
        field::{Field, Select},
        live::{live, memo},
    },
    state::positions::{positions_text, read_positions},
};

/// The menu's values; the last two stand for a family that a second field completes.
const NAMED: [(&str, &str); 7] = [
    ("all", "every token"),
    ("prompt", "the prompt"),
    ("generated", "generated tokens"),
    ("template", "template tokens"),
    ("content", "content tokens"),
    ("first_answer-10", "first tokens of each answer"),
    ("0", "these positions"),
];

/// A menu, and a field where it leaves something open.
pub(super) fn field(target: Target) -> AnyView {
    let positions = memo(move || target.edit.read().positions.clone());
    let name = move || match positions.get() {
        Positions::FirstAnswer(_) => "first_answer-10".to_owned(),
        Positions::List(_) => "0".to_owned(),
        named => positions_text(&named),
    };
    let set = move |text: &str| {
        if let Some(positions) = read_positions(text) {
            target.keep(|edit| edit.positions = positions.clone());
        }
    };
    let more = live(move || match positions.get() {
        Positions::FirstAnswer(k) => Some(Field::number("How many", "edit-answer-tokens").showing(
            move || k.to_string(),
            move |text| set(&format!("first_answer-{text}")),
        )),
        Positions::List(list) => {
            let text = positions_text(&Positions::List(list));
            let field = Field {
                kind: "text",
                ..Field::number("Positions, from 0 at BOS", "edit-position-list")
            };
            Some(field.showing(move || text.clone(), move |text| set(&text)))
        }
        _ => None,
    });
    let menu = Select::new("Where it acts", "edit-positions", &NAMED)
        .showing(name, move |value| set(&value));
    view! { <span class="pair"><span aria-hidden="true">"at"</span>{menu}{more}</span> }.into_any()
}
