//! Labels of latents, for lists that the server fills with ids only.

use api::{DictionaryInfo, LatentRow, LatentsPage};
use leptos::prelude::*;

use crate::net::{
    load::{Load, use_load},
    request::Request,
};

/// The labelled latents of the dictionary in use.
#[derive(Clone, Copy)]
pub(super) struct Names(Load<LatentsPage>);

impl Names {
    /// Asks for them whenever the dictionary changes.
    pub(super) fn load(dictionary: Memo<Option<DictionaryInfo>>) -> Self {
        Self(use_load(move || {
            let slug = dictionary.with(|d| d.as_ref().map(|d| d.slug.clone()))?;
            Some(Request::latents(&slug, "sort=label&limit=500"))
        }))
    }

    /// A latent's row, if it has a label.
    pub(super) fn row(self, id: u32) -> Option<LatentRow> {
        self.0.data.with(|page| {
            page.as_ref()?
                .rows
                .iter()
                .find(|row| row.id == id && row.label.is_some())
                .cloned()
        })
    }

    /// Choices for a field that takes latent ids.
    pub(super) fn options(self) -> AnyView {
        let options = move || {
            let page = self.0.get()?;
            let labelled = page.rows.iter().filter(|row| row.label.is_some());
            Some(
                labelled
                    .map(|row| view! { <option value=row.id>{row.label.clone()}</option> })
                    .collect_view(),
            )
        };
        view! { <datalist id="labelled">{options}</datalist> }.into_any()
    }
}
