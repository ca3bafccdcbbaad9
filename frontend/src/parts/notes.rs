//! Notes on latents in the browser's storage: one entry for each latent, so that two tabs never write over each other's.

use leptos::{ev, prelude::*, web_sys::Storage};

use crate::{
    net::notes::{read_note, write_note},
    state::{
        notes::{Note, merged},
        query::encode,
    },
};

/// Where notes on a study lie.
fn folder(study: &str) -> String {
    format!("stereoscope.note/{}/", encode(study))
}

fn key(study: &str, dictionary: &str, latent: u32) -> String {
    format!("{}{}/{latent}", folder(study), encode(dictionary))
}

fn storage() -> Option<Storage> {
    window().local_storage().ok().flatten()
}

/// The note on a latent; a blank one where there is none.
pub(crate) fn stored(study: &str, dictionary: &str, latent: u32) -> Note {
    let text = storage().and_then(|s| s.get_item(&key(study, dictionary, latent)).ok().flatten());
    text.and_then(|text| read_note(&text))
        .unwrap_or_else(|| Note::new(dictionary, latent))
}

/// All notes on a study, in order.
pub(crate) fn all(study: &str) -> Vec<Note> {
    let Some(storage) = storage() else {
        return Vec::new();
    };
    let folder = folder(study);
    let many = storage.length().unwrap_or(0);
    let keys = (0..many).filter_map(|at| storage.key(at).ok().flatten());
    let texts = keys
        .filter(|key| key.starts_with(&folder))
        .filter_map(|key| storage.get_item(&key).ok().flatten());
    merged(texts.filter_map(|text| read_note(&text)))
}

/// Stores a note at once, and removes a blank one. Whether the browser did it: storage may be forbidden or full.
pub(crate) fn keep(study: &str, note: &Note) -> bool {
    let key = key(study, &note.dictionary, note.latent);
    let kept = storage().map(|storage| {
        if note.is_blank() {
            storage.remove_item(&key)
        } else {
            storage.set_item(&key, &write_note(note))
        }
    });
    matches!(kept, Some(Ok(())))
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    js_sys::Date::now() as u64
}

/// Calls `act` whenever another tab stores something, while the component lives.
pub(crate) fn use_other_tabs(act: impl Fn() + 'static) {
    let handle = window_event_listener(ev::storage, move |_| act());
    on_cleanup(move || handle.remove());
}
