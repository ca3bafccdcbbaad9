//! The reader's own rating, tags and remark, stored in the browser as they are entered.

use leptos::{
    ev::{KeyboardEvent, Targeted},
    prelude::*,
    web_sys::{HtmlElement, HtmlTextAreaElement},
};
use wasm_bindgen::JsCast;

use super::Page;
use crate::parts::signal::{Memo, RwSignal};
use crate::{
    display::numbers::count,
    explorer::explorer,
    parts::{
        card::Card,
        field::Field,
        keys::focus,
        live::{effect, memo},
        notes::{all, keep, now, stored, use_other_tabs},
        segments::segments,
    },
    state::notes::{Note, read_tags},
};

const RATINGS: [(&str, &str); 6] = [
    ("0", "none"),
    ("1", "1"),
    ("2", "2"),
    ("3", "3"),
    ("4", "4"),
    ("5", "5"),
];

/// The note on the latent that the address names.
#[derive(Clone, Copy)]
pub(super) struct Notes {
    /// Name of the study, slug and id, once it is known that there is such a latent.
    place: Memo<Option<(String, String, u32)>>,
    note: RwSignal<Note>,
    /// The tags as they are typed.
    tags: RwSignal<String>,
    /// The browser did not store the latest change.
    refused: RwSignal<bool>,
}

impl Notes {
    /// Follows the address.
    pub(super) fn of(slug: Memo<String>, id: Memo<Option<u32>>) -> Self {
        let place = memo(move || {
            let slug = slug.get();
            let (study, dictionary) = explorer().study_with(&slug)?;
            let id = id.get().filter(|id| (*id as usize) < dictionary.latents)?;
            Some((study.name.clone(), slug, id))
        });
        let notes = Self {
            place,
            note: RwSignal::new(Note::default()),
            tags: RwSignal::new(String::new()),
            refused: RwSignal::new(false),
        };
        effect(move || {
            place.track();
            notes.load();
        });
        // What could not be stored is in the fields only, and stays there.
        use_other_tabs(move || {
            if !notes.refused.get_untracked() {
                notes.load();
            }
        });
        notes
    }

    fn load(self) {
        if let Some((study, slug, id)) = self.place.get_untracked() {
            let note = stored(&study, &slug, id);
            if note.tags != read_tags(&self.tags.read_untracked()) {
                self.tags.set(note.tags.join(", "));
            }
            self.note.set(note);
            self.refused.set(false);
        }
    }

    fn change(self, change: impl FnOnce(&mut Note)) {
        let Some((study, ..)) = self.place.get_untracked() else {
            return;
        };
        self.note.update(change);
        let refused = !keep(&study, &self.note.read_untracked());
        if refused && !self.refused.get_untracked() {
            explorer().toast("The browser did not store this note.");
        }
        self.refused.set(refused);
    }

    fn rate(self, rating: &str) {
        let Ok(rating) = rating.parse() else { return };
        self.change(|note| note.rate(rating, now()));
        explorer().announce(&match rating {
            0 => "Not rated.".to_owned(),
            rating => format!("Rated {rating}."),
        });
    }

    /// Does what a key stands for: digits rate, `t` goes to the tags, `m` to the remark. Whether it stands for anything.
    pub(super) fn take_key(self, key: &str) -> bool {
        match key {
            "0" | "1" | "2" | "3" | "4" | "5" => self.rate(key),
            "t" => focus(".notes input"),
            "m" => focus(".notes textarea"),
            _ => return false,
        }
        true
    }
}

/// The card.
pub(super) fn card(page: Page, notes: Notes) -> AnyView {
    let rated = memo(move || {
        let rated = notes.note.read().rated().to_string();
        let known = RATINGS.iter().find(|(value, _)| *value == rated);
        known.map_or("0", |(value, _)| *value)
    });
    let rating = segments(
        "Rating",
        "rating",
        &RATINGS,
        rated,
        Callback::new(move |rating: &'static str| notes.rate(rating)),
    );
    let tags = Field {
        placeholder: "with commas between them",
        kind: "text",
        ..Field::number("Tags", "tags")
    };
    let tags = tags.following(
        move || notes.tags.get(),
        move |text| {
            let tags = read_tags(&text);
            notes.tags.set(text);
            notes.change(|note| note.tags = tags);
        },
        move |_| notes.tags.set(notes.note.read_untracked().tags.join(", ")),
    );
    let said = move |event: Targeted<leptos::ev::Event, HtmlTextAreaElement>| {
        let text = event.target().value();
        notes.change(|note| note.say(text, now()));
    };
    // The page's keys work again once the keyboard has left the fields.
    let leave = move |event: KeyboardEvent| {
        let field = event
            .target()
            .and_then(|t| t.dyn_into::<HtmlElement>().ok());
        let leaves = |field: &HtmlElement| {
            event.key() == "Escape" || (event.key() == "Enter" && field.tag_name() == "INPUT")
        };
        if let Some(field) = field.filter(leaves) {
            // Fails only for elements that are gone.
            let _ = field.blur();
        }
    };
    let fault = move || {
        notes.refused.get().then_some(
            "Not stored: the browser’s storage is full or forbidden. What is in these fields goes with this page.",
        )
    };
    let body = view! {
        <div class="notes" on:keydown=leave>
            {rating}
            {tags}
            <textarea rows="2" aria-label="Remark" placeholder="What it seems to be" data-testid="remark" prop:value=move || notes.note.read().remark().to_owned() on:input:target=said></textarea>
            <p class="small" role="alert">{fault}</p>
        </div>
    };
    let progress = memo(move || {
        // A rating that changes is counted anew.
        rated.track();
        progress(page, notes)
    });
    let beside =
        view! { <span class="small quiet" data-testid="progress">{move || progress.get()}</span> };
    Card::new("notes", "Notes")
        .remark("kept in this browser")
        .with(beside.into_any(), body.into_any())
}

/// How many of the table that led here are rated, as far as its rows are at hand.
fn progress(page: Page, notes: Notes) -> String {
    let (Some(rows), Some((study, slug, _))) = (page.selection.get(), notes.place.get()) else {
        return String::new();
    };
    let all = all(&study);
    let is_rated = |id: u32| {
        all.iter()
            .any(|note| note.latent == id && note.dictionary == slug && note.rating.is_some())
    };
    let rated = rows.rows.iter().filter(|row| is_rated(row.id)).count() as u64;
    let many = rows.rows.len() as u64;
    let of = if many == rows.total {
        "in this selection"
    } else {
        "around here"
    };
    format!("{} of {} {of} rated", count(rated), count(many))
}
