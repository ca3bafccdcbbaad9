//! Whole columns of the dictionary's latents, asked for once each, when first needed.

use std::sync::Arc;

use crate::parts::signal::{Memo, RwSignal};
use crate::{
    display::select::Columns,
    net::{columns, fault::Fault, fetch, request::Request},
    parts::live::effect,
};

/// Columns by name; one that is still on its way is empty.
#[derive(Clone, Default)]
pub(super) struct Columned {
    slug: String,
    columns: Vec<(String, Arc<Vec<f32>>)>,
}

impl Columns for Columned {
    fn column(&self, name: &str) -> Option<&[f32]> {
        let found = self.columns.iter().find(|c| c.0 == name);
        found.map(|c| c.1.as_slice()).filter(|c| !c.is_empty())
    }
}

/// The columns that are there, and why others are not.
#[derive(Clone, Copy)]
pub(super) struct Held {
    /// What is there.
    pub(super) columns: RwSignal<Columned>,
    /// Why the latest are not.
    pub(super) fault: RwSignal<Option<Fault>>,
}

impl Held {
    /// Follows the columns that are wanted, their names separated by commas.
    pub(super) fn following(slug: Memo<String>, wanted: Memo<String>) -> Self {
        let held = Self {
            columns: RwSignal::new(Columned::default()),
            fault: RwSignal::new(None),
        };
        effect(move || {
            let (slug, wanted) = (slug.get(), wanted.get());
            let missing = held.missing(&slug, &wanted);
            if !missing.is_empty() {
                held.ask(slug, missing);
            }
        });
        held
    }

    /// Notes the wanted columns that were not asked for yet.
    fn missing(self, slug: &str, wanted: &str) -> Vec<String> {
        let mut missing = Vec::new();
        self.columns.update_untracked(|held| {
            if held.slug != slug {
                *held = Columned {
                    slug: slug.to_owned(),
                    columns: Vec::new(),
                };
            }
            for name in wanted.split(',') {
                if held.columns.iter().all(|c| c.0 != name) {
                    held.columns.push((name.to_owned(), Arc::default()));
                    missing.push(name.to_owned());
                }
            }
        });
        missing
    }

    fn ask(self, slug: String, names: Vec<String>) {
        fetch::start(async move {
            let Some(controller) = fetch::controller() else {
                return;
            };
            let request = Request::columns(&slug, &names.join(","));
            let answer = fetch::success(&request, &controller.signal()).await;
            let read = answer.and_then(|body| columns::read(&body).map_err(Fault::Garbled));
            let fault = match read {
                Ok(read) => {
                    self.columns.try_update(|held| {
                        for (name, values) in names.iter().zip(read) {
                            let mine = held.columns.iter_mut().find(|c| c.0 == *name);
                            if let Some(slot) = mine.filter(|_| held.slug == slug) {
                                slot.1 = Arc::new(values);
                            }
                        }
                    });
                    None
                }
                Err(fault) => Some(fault),
            };
            self.fault.set(fault);
        });
    }
}
