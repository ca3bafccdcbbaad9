//! Classes and labels of latents, for lists that the server fills with ids only.

use api::{Class, DictionaryInfo, LatentsPage};
use leptos::prelude::*;

use crate::parts::signal::Memo;
use crate::{
    net::{
        columns,
        load::{Load, use_body, use_load},
        request::Request,
    },
    parts::live::{live, memo},
};

/// What is known of every latent of the dictionary in use.
#[derive(Clone, Copy)]
pub(super) struct Names {
    labelled: Load<LatentsPage>,
    classes: Load<Vec<Vec<f32>>>,
}

impl Names {
    /// Asks whenever the dictionary changes.
    pub(super) fn load(dictionary: Memo<Option<DictionaryInfo>>) -> Self {
        let slug = memo(move || dictionary.with(|d| d.as_ref().map(|d| d.slug.clone())));
        Self {
            labelled: use_load(move || {
                Some(Request::latents(&slug.get()?, "sort=label&limit=500"))
            }),
            classes: use_body(
                move || Some(Request::columns(&slug.get()?, "class")),
                columns::read,
            ),
        }
    }

    /// A latent's label.
    pub(super) fn label(self, id: u32) -> Option<String> {
        let page = self.labelled.data.read();
        page.as_ref()?
            .rows
            .iter()
            .find(|row| row.id == id)?
            .label
            .clone()
    }

    /// A latent's class.
    pub(super) fn class(self, id: u32) -> Option<Class> {
        let columns = self.classes.data.read();
        let code = *columns.as_ref()?.first()?.get(id as usize)?;
        Class::ALL.get(code as usize).copied()
    }

    /// Choices for a field that takes latent ids.
    pub(super) fn options(self) -> AnyView {
        let options = live(move || {
            let page = self.labelled.get()?;
            let labelled = page.rows.iter().filter(|row| row.label.is_some());
            Some(
                labelled
                    .map(|row| {
                        view! { <option value=row.id.to_string()>{row.label.clone()}</option> }
                            .into_any()
                    })
                    .collect_view(),
            )
        });
        view! { <datalist id="labelled">{options}</datalist> }.into_any()
    }
}
