//! The prompt's tokens, coloured by KL or by a latent.

use api::LatentDetail;
use leptos::prelude::*;

use super::{Page, chosen::chosen_token, explain::explanation};
use crate::parts::signal::Memo;
use crate::{
    display::{
        cells::{kl_scale, of_kl, of_latent, summary},
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
    let colour = memo(move || page.url.read().colour);
    let latent = use_load(move || match colour.get() {
        Colour::Latent(id) => Some(Request::latent(&page.slug()?, id)),
        Colour::Kl => None,
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
    let body = view! {
        <div class:busy=move || reading.state.busy.get()>{strip(page, colour, latent, choice)}{chosen_token(page, chosen)}{explanation(page, chosen)}</div>
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
        let of = |id| answer.latents.first().filter(|values| values.id == id);
        let (cells, tone, below, latent) = match colour.get() {
            Colour::Latent(id) if of(id).is_some() => {
                let detail = latent.get();
                let known = detail
                    .as_ref()
                    .and_then(|d| d.row.max_activation)
                    .filter(|m| *m > 0.0);
                let values = of(id)
                    .map(|latent| (latent, latent.values.iter().copied().fold(0.0f32, f32::max)));
                let cells = values.map(|(latent, here)| {
                    of_latent(&answer.tokens, latent, known.unwrap_or(here.into()))
                });
                let scale = known.map_or("this prompt’s maximum".into(), |max| {
                    format!("the latent’s maximum, v {}", short(max))
                });
                let tone = detail.map_or("other", |d| class_style(d.row.class));
                (cells.unwrap_or_default(), tone, legend(&scale), Some(id))
            }
            _ => {
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
            }
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

/// KL, or a latent by id.
fn colour_choice(page: Page, colour: Memo<Colour>) -> AnyView {
    // The latent that comes back when the reader returns from KL.
    let last = StoredValue::new(None::<u32>);
    let id = move || match colour.get() {
        Colour::Latent(id) => {
            last.set_value(Some(id));
            id.to_string()
        }
        Colour::Kl => String::new(),
    };
    let set = move |colour: Colour| page.keep(History::Replace, |state| state.colour = colour);
    let again = move || {
        let first = || {
            page.url.with_untracked(|url| {
                url.steered
                    .edits
                    .iter()
                    .flat_map(|e| &e.latents)
                    .next()
                    .copied()
            })
        };
        if let Some(id) = last.get_value().or_else(first) {
            set(Colour::Latent(id));
        }
    };
    let link = live(move || {
        let Colour::Latent(id) = colour.get() else {
            return None;
        };
        let label = page.names.label(id).unwrap_or_else(|| "open".into());
        let href = latent_path(&page.slug()?, id);
        Some(view! { <a class="small" href=href>{label}</a> }.into_any())
    });
    let field = Field {
        placeholder: "id",
        list: Some("labelled"),
        ..Field::number("Latent that colours the tokens", "colour-id")
    };
    let typed = move |text: String| set(text.trim().parse().map_or(Colour::Kl, Colour::Latent));
    view! {
        <fieldset class="colour">
            <legend class="unseen">"What the colour means"</legend>
            {Check::radio("colour", "kl", "KL(chat ‖ base)").showing(move || colour.get() == Colour::Kl, move || set(Colour::Kl))}
            {Check::radio("colour", "latent", "latent").showing(move || colour.get() != Colour::Kl, again)}
            {field.showing(id, typed)}
            {link}
        </fieldset>
    }
    .into_any()
}
