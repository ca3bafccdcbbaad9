//! What is known at the chosen token: the strongest latents, and how both models would go on.

use api::{NextToken, TopLatent};
use leptos::prelude::*;

use super::Page;
use crate::parts::signal::Memo;
use crate::{
    display::{
        numbers::{fixed, percent, short},
        tokens::{glyph, quoted},
    },
    nav::History,
    parts::{
        badge::{bar_line, latent_link, meter, tag},
        field::Button,
        live::live,
        states::empty,
    },
    state::{
        edit::{Edit, EditKind},
        lab::Colour,
        place::latent_path,
    },
};

/// Three lists.
pub(super) fn chosen_token(page: Page, chosen: Memo<Option<usize>>) -> AnyView {
    live(move || {
        let answer = page.reading.get()?;
        let at = chosen.get()?;
        let token = answer.tokens.get(at)?;
        let next = answer.next.get(at)?;
        let slug = page.slug()?;
        let top: &[TopLatent] = answer.top.get(at).map_or(&[], Vec::as_slice);
        let largest = top.first().map_or(1.0, |t| t.value);
        let latents = if top.is_empty() {
            empty("No latent is active here.")
        } else {
            let rows = top
                .iter()
                .map(|t| latent(page, &slug, *t, largest))
                .collect_view();
            view! { <ol class="tops">{rows}</ol> }.into_any()
        };
        let kl = answer
            .kl_chat_base
            .as_ref()
            .and_then(|divergences| divergences.get(at))
            .map(|kl| format!("KL(chat ‖ base) {} nats", fixed((*kl).into(), 3)));
        Some(view! {
            <div class="chosen" data-testid="chosen" data-token=at.to_string()>
                <section>
                    <h3>{format!("At token {at}, {}: strongest latents", quoted(&token.text))}</h3>
                    {latents}
                </section>
                {side("base", next.base.as_deref().unwrap_or_default(), None)}
                {side("chat", &next.chat, kl)}
            </div>
        }.into_any())
    })
}

fn latent(page: Page, slug: &str, top: TopLatent, largest: f32) -> AnyView {
    let id = top.id;
    let link = latent_link(
        latent_path(slug, id),
        id,
        page.names.class(id),
        page.names.label(id),
    );
    let colour = move || page.keep(History::Replace, |state| state.colour = Colour::latent(id));
    let also = move || {
        page.keep(History::Replace, |state| {
            state.colour = Colour::read(&format!("{},{id}", state.colour.text()));
        });
    };
    let add = Button {
        label: Some("Colour by this latent too"),
        test: Some("colour-too"),
        ..Button::link("too")
    };
    let steer = move || {
        page.keep_lanes(|state| {
            let edits = &mut state.steered.edits;
            match edits.iter_mut().find(|e| e.kind != EditKind::Take) {
                Some(edit) => edit.latents = vec![id],
                None => edits.push(Edit {
                    latents: vec![id],
                    ..Edit::default()
                }),
            }
        });
    };
    view! {
        <li data-testid="top-latent" data-latent=id.to_string()>
            {link}
            {meter(f64::from(top.value / largest.max(f32::MIN_POSITIVE)))}
            <span class="num">{short(top.value.into())}</span>
            {Button::link("colour").doing(colour)}
            {add.unless(move || page.url.read().colour == Colour::Kl, also)}
            {Button::link("steer").doing(steer)}
        </li>
    }
    .into_any()
}

fn side(tone: &'static str, tokens: &[NextToken], remark: Option<String>) -> AnyView {
    let line =
        |token: &NextToken| bar_line(glyph(&token.text), token.p.into(), percent(token.p.into()));
    let lines = tokens.iter().map(line).collect_view();
    view! {
        <section class=format!("lens one {tone}") data-testid=format!("next-{tone}")>
            <h3>{tag(tone, tone)}" would go on"<span class="aside small quiet">{remark}</span></h3>
            <ol>{lines}</ol>
        </section>
    }
    .into_any()
}
