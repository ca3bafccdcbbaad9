//! The choice of a dictionary.

use leptos::prelude::*;

use super::{field::Select, live::live};
use crate::explorer::explorer;

/// A menu of the study's dictionaries, where there is more than one.
pub(crate) fn dictionary_select(
    chosen: impl Fn() -> String + Send + Sync + 'static,
    choose: impl Fn(String) + Send + Sync + 'static,
) -> AnyView {
    let chosen = Signal::derive(chosen);
    let choose = Callback::new(choose);
    live(move || {
        let study = explorer().study.get()?;
        let slugs = study.dictionaries.iter();
        let choices = slugs.map(|d| (d.slug.clone(), d.slug.clone())).collect();
        let select = Select {
            label: "Dictionary",
            test: "dictionary-select",
            choices,
        };
        let several = study.dictionaries.len() > 1;
        several.then(|| select.showing(move || chosen.get(), move |slug| choose.run(slug)))
    })
}
