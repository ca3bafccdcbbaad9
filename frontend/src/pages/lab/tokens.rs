//! The prompt's tokens, coloured by KL or by a latent.

use api::LatentDetail;
use leptos::{ev, prelude::*, web_sys::HtmlInputElement};

use super::{Page, chosen::Chosen};
use crate::{
    display::{
        cells::{kl_scale, of_kl, of_latent, summary},
        numbers::short,
        verdict::class_style,
    },
    nav::{History, latent_path},
    net::{load::use_load, request::Request},
    parts::{
        states::{empty, fault_note, skeleton},
        strip::{Choice, TokenStrip},
    },
    state::lab::Colour,
};

/// The tokens' card, with what is known of the chosen one.
#[component]
pub(super) fn Tokens(page: Page) -> impl IntoView {
    let colour = Memo::new(move |_| page.url.read().colour);
    let latent = use_load::<LatentDetail>(move || match colour.get() {
        Colour::Latent(id) => Some(Request::latent(&page.slug()?, id)),
        Colour::Kl => None,
    });
    let reading = page.reading;
    // Without a choice the last token speaks: it predicts what comes next.
    let chosen = Memo::new(move |_| {
        let last = reading
            .data
            .with(|a| a.as_ref()?.tokens.len().checked_sub(1))?;
        Some(page.url.read().token.unwrap_or(last).min(last))
    });
    let choose =
        Callback::new(move |i: usize| page.keep(History::Replace, |state| state.token = Some(i)));
    let strip = move || {
        if let Some(fault) = reading.fault.get() {
            return fault_note(&fault, Some(Callback::new(move |()| reading.reload())));
        }
        let Some(answer) = reading.get() else {
            return if reading.busy.get() {
                skeleton(3)
            } else {
                empty("Type a prompt and read it: its tokens appear here.")
            };
        };
        let (cells, tone, scale, id) = match (colour.get(), answer.latents.first()) {
            (Colour::Latent(id), Some(values)) if values.id == id => {
                let detail = latent.get();
                let known = detail
                    .as_ref()
                    .and_then(|d| d.row.max_activation)
                    .filter(|m| *m > 0.0);
                let here = f64::from(values.values.iter().copied().fold(0.0f32, f32::max));
                let tone = detail.map_or("other", |d| class_style(d.row.class));
                let scale = match known {
                    Some(max) => format!("top half: what base puts in, bottom half: chat · scale: the latent’s maximum, v {}", short(max)),
                    None => "top half: what base puts in, bottom half: chat · scale: this prompt’s maximum".into(),
                };
                (
                    of_latent(&answer.tokens, values, known.unwrap_or(here)),
                    tone,
                    scale,
                    Some(id),
                )
            }
            _ => {
                let max = kl_scale(&answer.kl_chat_base);
                let scale = format!(
                    "KL(chat ‖ base) of what follows each token · scale: {} nats",
                    short(max)
                );
                (
                    of_kl(&answer.tokens, &answer.kl_chat_base, max),
                    "kl",
                    scale,
                    None,
                )
            }
        };
        let label = format!(
            "Tokens of the prompt; {}. Arrow keys choose one.",
            summary(&cells)
        );
        let choice = Some(Choice {
            chosen: chosen.into(),
            choose,
        });
        let halves = id.is_some();
        view! {
            <TokenStrip cells label tone latent=id broken=true choice />
            <p class="legend small quiet">{halves.then(|| view! { <span class="key" aria-hidden="true"></span> })}{scale}</p>
        }
        .into_any()
    };
    let tally = move || reading.get().map(|a| format!("{} tokens", a.tokens.len()));
    view! {
        <section class="card" aria-labelledby="tokens-title" data-testid="tokens" class:busy=move || reading.busy.get()>
            <header>
                <h2 id="tokens-title">"Tokens"</h2>
                <ColourChoice page colour />
                <span class="aside small quiet">{tally}</span>
            </header>
            {strip}
            <Chosen page chosen />
        </section>
    }
}

/// KL, or a latent by id.
#[component]
fn ColourChoice(page: Page, colour: Memo<Colour>) -> impl IntoView {
    let last = StoredValue::new(None::<u32>);
    let id = move || match colour.get() {
        Colour::Latent(id) => {
            last.set_value(Some(id));
            id.to_string()
        }
        Colour::Kl => String::new(),
    };
    let set = move |colour: Colour| page.keep(History::Replace, |state| state.colour = colour);
    let typed = move |event: ev::Targeted<ev::Event, HtmlInputElement>| {
        set(event
            .target()
            .value()
            .trim()
            .parse()
            .map_or(Colour::Kl, Colour::Latent));
    };
    let latent_name = move || {
        let Colour::Latent(id) = colour.get() else {
            return None;
        };
        let label = page
            .names
            .row(id)
            .and_then(|row| row.label)
            .unwrap_or_else(|| "open".into());
        let href = latent_path(&page.slug()?, id);
        Some(view! { <a class="small" href=href>{label}</a> })
    };
    let kl = move |_| set(Colour::Kl);
    let again = move |_| {
        if let Some(id) = last.get_value() {
            set(Colour::Latent(id));
        }
    };
    view! {
        <fieldset class="colour">
            <legend>"colour"</legend>
            <label><input type="radio" name="colour" data-testid="colour-kl" prop:checked=move || colour.get() == Colour::Kl on:change=kl />"KL(chat ‖ base)"</label>
            <label>
                <input type="radio" name="colour" prop:checked=move || colour.get() != Colour::Kl on:change=again />
                "latent"
                <input type="number" min="0" class="id" list="labelled" data-testid="colour-latent" aria-label="Latent that colours the tokens" placeholder="id" prop:value=id on:change:target=typed />
            </label>
            {latent_name}
        </fieldset>
    }
}
