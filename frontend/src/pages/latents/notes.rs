//! The reader's notes beside the table: which rows have one, how many of the selection are rated, and all of them as one file.

use leptos::{
    ev::{Event, Targeted},
    prelude::*,
    web_sys::{Blob, HtmlInputElement},
};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::parts::signal::{Memo, RwSignal};
use crate::{
    display::numbers::count,
    explorer::explorer,
    net::{
        fetch,
        notes::{read_notes, write_notes},
    },
    pages::triage::plane::Plane,
    parts::{
        live::{effect, live, memo},
        notes::{all, keep, now, stored, use_other_tabs},
    },
    state::{
        notes::{Note, merged},
        query::encode,
    },
};

/// All notes on the study.
#[derive(Clone, Copy)]
pub(super) struct Notes {
    slug: Memo<String>,
    study: Memo<Option<String>>,
    all: RwSignal<Vec<Note>>,
    /// What came of the latest import.
    said: RwSignal<String>,
}

impl Notes {
    /// As the browser has them.
    pub(super) fn new(slug: Memo<String>) -> Self {
        let notes = Self {
            slug,
            study: memo(|| explorer().study.get().map(|study| study.name.clone())),
            all: RwSignal::new(Vec::new()),
            said: RwSignal::new(String::new()),
        };
        effect(move || {
            notes.study.track();
            notes.load();
        });
        use_other_tabs(move || notes.load());
        notes
    }

    fn load(self) {
        if let Some(study) = self.study.get_untracked() {
            self.all.set(all(&study));
        }
    }

    /// Rates a latent; 0 clears.
    pub(super) fn rate(self, latent: u32, rating: u32) {
        let Some(study) = self.study.get_untracked() else {
            return;
        };
        let mut note = stored(&study, &self.slug.read_untracked(), latent);
        note.rate(rating, now());
        if keep(&study, &note) {
            return self.load();
        }
        explorer().toast("The browser did not store this rating: export the notes to keep it.");
        let all = merged(self.all.get_untracked().into_iter().chain([note]));
        self.all.set(all);
    }

    /// The sign of a row and more about it; nothing for a latent without a note.
    pub(super) fn sign(self) -> impl Fn(u32) -> Option<(String, String)> {
        let (all, slug) = (self.all.read(), self.slug.get_untracked());
        move |latent| {
            let mine = |note: &&Note| note.latent == latent && note.dictionary == slug;
            let note = all.iter().find(mine)?;
            let sign = match note.rated() {
                0 => "✎".to_owned(),
                rating => format!("★ {rating}"),
            };
            let mut more = note.tags.join(", ");
            if !more.is_empty() && note.remark.is_some() {
                more.push_str(": ");
            }
            more.push_str(note.remark());
            Some((sign, more))
        }
    }

    /// Merges a file into what is stored; the sentence that says what came of it.
    fn import(self, text: &str) -> String {
        let Some(study) = self.study.get_untracked() else {
            return "The study is not there yet: import again in a moment.".into();
        };
        let theirs = match read_notes(&study, text) {
            Ok(theirs) => theirs,
            Err(why) => return format!("{why} Nothing was imported."),
        };
        let many = theirs.len();
        let mine = all(&study);
        let mut changed = merged(mine.iter().cloned().chain(theirs));
        changed.retain(|note| !note.is_blank() && !mine.contains(note));
        let refused = changed.iter().filter(|note| !keep(&study, note)).count();
        self.load();
        if refused > 0 {
            return format!(
                "The browser’s storage is full or forbidden: {refused} of {} notes were not stored.",
                changed.len()
            );
        }
        format!("Read {many} notes: {} are new or changed.", changed.len())
    }
}

/// A folded menu.
pub(super) fn menu(notes: Notes) -> AnyView {
    let href = move || {
        let study = notes.study.get().unwrap_or_default();
        let file = write_notes(&study, &notes.all.read());
        format!("data:application/json;charset=utf-8,{}", encode(&file))
    };
    let many = move || {
        match notes.all.read().len() {
        0 => "No notes yet: open a latent, rate it by 1 to 5, tag it, say what it is. They stay in this browser.".to_owned(),
        1 => "1 note on this study, in this browser.".to_owned(),
        n => format!("{} notes on this study, in this browser.", count(n as u64)),
    }
    };
    let chosen = move |event: Targeted<Event, HtmlInputElement>| {
        let field = event.target();
        fetch::start(async move {
            let said = match chosen_text(&field).await {
                Some(text) => notes.import(&text),
                None => "The browser could not read this file. Nothing was imported.".into(),
            };
            notes.said.set(said);
            // The same file can be chosen again.
            field.set_value("");
        });
    };
    view! {
        <details class="menu" data-testid="notes">
            <summary class="button">"Notes"</summary>
            <div class="menu-list notes-menu">
                <p class="small quiet">{many}</p>
                <a class="button" href=href download="notes.json" data-testid="export-notes">"Export as JSON"</a>
                <label class="field">
                    <span>"Import: newer ratings and remarks win, tags are united"</span>
                    <input type="file" accept=".json,application/json" data-testid="import-notes" on:change:target=chosen />
                </label>
                <p class="small" role="status" data-testid="imported">{move || notes.said.get()}</p>
            </div>
        </details>
    }
    .into_any()
}

/// The text of the file in a field.
async fn chosen_text(field: &HtmlInputElement) -> Option<String> {
    let files = js_sys::Reflect::get(field, &JsValue::from_str("files")).ok()?;
    let file: Blob = js_sys::Reflect::get_u32(&files, 0).ok()?.dyn_into().ok()?;
    JsFuture::from(file.text()).await.ok()?.as_string()
}

/// How many of the selection are rated; nothing before the first rating.
pub(super) fn progress(notes: Notes, plane: Plane) -> AnyView {
    let words = move || {
        let kept = plane.kept.get()?;
        let (all, slug) = (notes.all.read(), notes.slug.read());
        let rated = |note: &&Note| note.dictionary == *slug && note.rating.is_some();
        let mut rated = all.iter().filter(rated).peekable();
        rated.peek()?;
        let chosen = |note: &&Note| kept.0.get(note.latent as usize) == Some(&true);
        let done = rated.filter(chosen).count() as u64;
        let many = kept.0.iter().filter(|kept| **kept).count() as u64;
        Some(format!(
            "{} of {} in this selection rated.",
            count(done),
            count(many)
        ))
    };
    live(move || {
        words().map(|words| {
            view! { <p class="small quiet" data-testid="rated">{words}</p> }.into_any()
        })
    })
}
