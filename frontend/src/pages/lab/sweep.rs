//! The strength sweep: one intervention of the steered lane at several doses.

use api::{EffectsRequest, Lane};
use leptos::prelude::*;

use super::{Page, editor::Target};
use crate::{
    display::sweep::{doses, picture, table},
    explorer::explorer,
    net::{divergences, load::use_body, request::Request},
    parts::{
        card::Card,
        field::Button,
        live::{live, memo},
        states::loaded,
        twin::twin,
    },
};

/// Opens the sweep of an intervention, or closes it.
pub(super) fn button(page: Page, target: Target, i: usize) -> AnyView {
    let button = Button {
        test: Some("sweep"),
        label: Some("sweep: try a range of doses"),
        ..Button::link("sweep")
    };
    live(move || {
        let kind = target.edit.read().kind;
        kind.has_amount().then(|| {
            button.doing(move || {
                page.keep(crate::nav::History::Replace, |state| {
                    state.sweep = Some(i).filter(|_| state.sweep != Some(i));
                });
            })
        })
    })
}

/// The chart, while an intervention is swept.
pub(super) fn card(page: Page) -> AnyView {
    let swept = memo(move || {
        let state = page.url.read();
        let i = state.sweep?;
        let edit = state.steered.edits.get(i)?;
        (edit.kind.has_amount() && edit.to_api().is_some())
            .then(|| (i, doses(edit.kind, edit.unit)))
    });
    let lanes = move || -> Option<Vec<Lane>> {
        let (i, doses) = swept.get()?;
        let state = page.url.get();
        let at = |dose: f64| {
            let mut lane = state.steered.clone();
            lane.edits.get_mut(i)?.amount = dose;
            Some(lane.to_api())
        };
        doses.into_iter().map(at).collect()
    };
    let effects = use_body(
        move || {
            let lanes = lanes().filter(|_| explorer().ready.get())?;
            Some(Request::effects(&EffectsRequest {
                dictionary: page.slug()?,
                prompt: page.url.read().prompt.to_api()?,
                lanes,
                generated: 0,
            }))
        },
        divergences::read,
    );
    live(move || {
        let (i, doses) = swept.get()?;
        let body = loaded(effects, 5, move |effects| {
            let chart = picture(&doses, &effects);
            view! {
                <p class="legend small quiet">
                    <span class="stroke kl-chat"><i></i>"from chat"</span>
                    <span class="stroke kl-base"><i></i>"from base"</span>
                </p>
                <div class="sweep dose-chart" data-testid="sweep-chart" aria-hidden="true" inner_html=chart></div>
                {twin(move || table(&doses, &effects))}
            }
            .into_any()
        });
        let title = format!(
            "KL in nats at the prompt’s last token, by dose of intervention {}",
            i + 1
        );
        Some(
            Card::new("sweep-card", "Strength sweep")
                .remark(title)
                .holding(body),
        )
    })
}
