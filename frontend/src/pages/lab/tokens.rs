//! The prompt's tokens, coloured by KL or by latents.

use api::LatentDetail;
use leptos::prelude::*;

use super::{Page, chosen::chosen_token, explain::explanation};
use crate::parts::signal::Memo;
use crate::{
    display::{
        cells::{kl_scale, of_kl, of_latents, summary},
        numbers::short,
        verdict::class_style,
    },
    explorer::{Models, explorer},
    nav::History,
    net::{
        load::{Load, use_load},
        request::Request,
    },
    parts::{
        card::Card,
        field::{Check, Field},
        live::{live, memo},
        states::{empty, fault_note, skeleton},
        strip::{Choice, Strip, legend},
    },
    state::{lab::Colour, place::latent_path},
};

/// The tokens' card, with what is known of the chosen one.
pub(super) fn card(page: Page) -> AnyView {
    let colour = memo(move || page.url.read().colour.clone());
    let latent = use_load(move || match colour.get().ids() {
        [id] => Some(Request::latent(&page.slug()?, *id)),
        _ => None,
    });
    let reading = page.reading;
    // Without a choice the last token speaks: it predicts what comes next.
    let chosen = memo(move || {
        let last = reading.data.read().as_ref()?.tokens.len().checked_sub(1)?;
        Some(page.url.read().token.unwrap_or(last).min(last))
    });
    let choose =
        Callback::new(move |i: usize| page.keep(History::Replace, |state| state.token = Some(i)));
    let choice = Choice { chosen, choose };
    let tally = move || {
        reading
            .data
            .read()
            .as_ref()
            .map_or(String::new(), |a| format!("{} tokens", a.tokens.len()))
    };
    let slow = reading.state.slow();
    let body = view! {
        <div class:busy=move || slow.get()>{strip(page, colour, latent, choice)}{chosen_token(page, chosen)}{explanation(page, chosen)}</div>
    };
    let beside =
        view! { {colour_choice(page, colour)}<span class="aside small quiet">{tally}</span> };
    Card::new("tokens", "Tokens").with(beside.into_any(), body.into_any())
}

fn strip(page: Page, colour: Memo<Colour>, latent: Load<LatentDetail>, choice: Choice) -> AnyView {
    let reading = page.reading;
    live(move || {
        if let Some(fault) = reading.state.fault.get() {
            return fault_note(&fault, Some(reading.state));
        }
        let Some(answer) = reading.get() else {
            let asking = *explorer().models.read() == Models::Unknown || page.slug().is_none();
            return match (
                page.url.read().prompt.to_api(),
                asking || reading.state.busy.get(),
            ) {
                (None, _) => empty("Type a prompt and read it: its tokens appear here."),
                (Some(_), true) => skeleton(3),
                (Some(_), false) => empty("The prompt waits for the models."),
            };
        };
        let colour = colour.get();
        let ids = colour.ids();
        let answered = answer.latents.iter().map(|latent| latent.id);
        let is_answered = !ids.is_empty() && answered.eq(ids.iter().copied());
        let (cells, tone, below, latent) = if is_answered {
            let detail = latent.get();
            let known = detail
                .as_ref()
                .and_then(|d| d.row.max_activation)
                .filter(|m| *m > 0.0);
            let cells = of_latents(&answer.tokens, &answer.latents, known);
            let scale = known.map_or("this prompt’s maximum".into(), |max| {
                format!("the latent’s maximum, v {}", short(max))
            });
            let tone = detail.map_or("other", |d| class_style(d.row.class));
            let one = ids.first().copied().filter(|_| ids.len() == 1);
            (cells, tone, legend(&scale, ids.len()), one)
        } else {
            let divergences = answer.kl_chat_base.as_deref().unwrap_or_default();
            let max = kl_scale(divergences);
            let scale = format!(
                "KL(chat ‖ base) of what follows each token · scale: {} nats",
                short(max)
            );
            let below = view! { <p class="legend small quiet">{scale}</p> };
            (
                of_kl(&answer.tokens, divergences, max),
                "kl",
                below.into_any(),
                None,
            )
        };
        let label = format!(
            "Tokens of the prompt, {}. Arrow keys choose one.",
            summary(&cells)
        );
        let strip = Strip {
            cells,
            label,
            tone,
            latent,
            broken: true,
            choice: Some(choice),
        };
        view! { {strip.show()}{below} }.into_any()
    })
}

/// KL, or latents by id.
fn colour_choice(page: Page, colour: Memo<Colour>) -> AnyView {
    // The latents that come back when the reader returns from KL.
    let last = StoredValue::new(None::<Colour>);
    let id = move || match colour.get() {
        Colour::Kl => String::new(),
        latents @ Colour::Latents(_) => {
            let text = latents.text();
            last.set_value(Some(latents));
            text
        }
    };
    let set =
        move |colour: Colour| page.keep(History::Replace, |state| state.colour = colour.clone());
    let again = move || {
        let first = || {
            page.url.with_untracked(|url| {
                url.steered
                    .edits
                    .iter()
                    .flat_map(|e| &e.latents)
                    .next()
                    .copied()
                    .map(Colour::latent)
            })
        };
        if let Some(latents) = last.get_value().or_else(first) {
            set(latents);
        }
    };
    let link = live(move || {
        let (colour, slug) = (colour.get(), page.slug()?);
        let several = colour.ids().len() > 1;
        let link = |&id: &u32| {
            let label = page.names.label(id);
            let words = match (several, label) {
                (false, label) => label.unwrap_or_else(|| "open".into()),
                (true, None) => id.to_string(),
                (true, Some(label)) => format!("{id} {label}"),
            };
            view! { <a class="small" href=latent_path(&slug, id)>{words}</a> }.into_any()
        };
        Some(colour.ids().iter().map(link).collect_view())
    });
    let field = Field {
        kind: "text",
        placeholder: "id, or ids",
        list: Some("labelled"),
        ..Field::number(
            "Latents that colour the tokens: an id, or several separated by commas",
            "colour-id",
        )
    };
    let typed = move |text: String| set(Colour::read(&text));
    view! {
        <fieldset class="colour">
            <legend class="unseen">"What the colour means"</legend>
            {Check::radio("colour", "kl", "KL(chat ‖ base)").showing(move || colour.get() == Colour::Kl, move || set(Colour::Kl))}
            {Check::radio("colour", "latent", "latents").showing(move || colour.get() != Colour::Kl, again)}
            {field.showing(id, typed)}
            {link}
        </fieldset>
    }
    .into_any()
}
