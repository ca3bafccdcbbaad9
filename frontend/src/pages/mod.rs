//! One module per page.

mod compare;
mod lab;
mod latent;
mod latents;
mod method;
mod missing;
mod run;
mod study;
mod triage;

use leptos::prelude::*;

use crate::state::place::Place;

/// The page at a place; none where another program has it.
pub(crate) type Pages = fn(&Place) -> Option<AnyView>;

/// The study, the method, and what is nowhere.
pub(crate) fn of_the_study(place: &Place) -> Option<AnyView> {
    match place {
        Place::Study => Some(view! { <study::Study /> }.into_any()),
        Place::Method => Some(view! { <method::Method /> }.into_any()),
        Place::Missing => Some(view! { <missing::Missing /> }.into_any()),
        _ => None,
    }
}

/// All latents, and each.
pub(crate) fn of_the_latents(place: &Place) -> Option<AnyView> {
    match place {
        Place::Latents { .. } => Some(view! { <latents::Latents /> }.into_any()),
        Place::Latent { .. } => Some(view! { <latent::Latent /> }.into_any()),
        _ => None,
    }
}

/// What can be run.
pub(crate) fn of_the_lab(place: &Place) -> Option<AnyView> {
    match place {
        Place::Lab => Some(view! { <lab::Lab /> }.into_any()),
        Place::Run { .. } => Some(view! { <run::SavedRun /> }.into_any()),
        _ => None,
    }
}

/// Two dictionaries compared.
pub(crate) fn of_the_comparison(place: &Place) -> Option<AnyView> {
    matches!(place, Place::Compare).then(|| view! { <compare::Compare /> }.into_any())
}
