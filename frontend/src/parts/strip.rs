//! A row of tokens: coloured, one tab stop, one tooltip for all.

use crate::parts::live::effect;
use crate::parts::signal::Memo;
use leptos::{
    ev::{KeyboardEvent, MouseEvent},
    html,
    prelude::*,
    web_sys::{Element, Event, HtmlElement},
};
use wasm_bindgen::JsCast;

use super::tooltip::Tip;
use crate::{
    display::{
        cells::{Cell, Paint},
        decimal::{rounded, shortest},
    },
    explorer::explorer,
};

/// Choosing one token of a strip.
#[derive(Clone, Copy)]
pub(crate) struct Choice {
    /// The chosen token.
    pub(crate) chosen: Memo<Option<usize>>,
    /// Chooses another.
    pub(crate) choose: Callback<usize>,
}

/// Tokens side by side. Arrow keys move between them; with a choice they also choose.
pub(crate) struct Strip {
    /// The tokens.
    pub(crate) cells: Vec<Cell>,
    /// What the strip is, for screen readers.
    pub(crate) label: String,
    /// The style of its colour: a class, or `kl`.
    pub(crate) tone: &'static str,
    /// The latent whose values the tokens carry.
    pub(crate) latent: Option<u32>,
    /// Lines break where the text's lines do.
    pub(crate) broken: bool,
    /// Tokens can be chosen.
    pub(crate) choice: Option<Choice>,
}

impl Strip {
    /// The strip.
    pub(crate) fn show(self) -> AnyView {
        let Self {
            cells,
            label,
            tone,
            latent,
            broken,
            choice,
        } = self;
        let explorer = explorer();
        let strip = NodeRef::<html::Div>::new();
        let tokens = cells
            .iter()
            .enumerate()
            .map(|(i, cell)| token(i, cell, latent, choice.is_some()))
            .collect_view();
        let cells = StoredValue::new(cells);

        let tip_of = move |event: &Event| {
            let Some((i, element)) = token_under(event) else {
                return;
            };
            let tip = cells.with_value(|cells| {
                cells
                    .get(i)
                    .map(|c| Tip::new(c.glyph.clone(), c.place.clone(), c.rows.clone()))
            });
            if let Some(tip) = tip {
                explorer.show_tip(tip, &element);
            }
        };
        let go = move |to: usize| {
            let Some(strip) = strip.get_untracked() else {
                return;
            };
            if let Some(element) = mark(&strip, to) {
                // Fails only for elements that are gone.
                let _ = element.focus();
                if let Some(choice) = choice {
                    choice.choose.run(to);
                }
            }
        };
        let on_key = move |event: KeyboardEvent| {
            let Some((at, _)) = token_under(&event) else {
                return;
            };
            let last = cells.with_value(Vec::len).saturating_sub(1);
            let to = match event.key().as_str() {
                "ArrowRight" | "ArrowDown" => (at + 1).min(last),
                "ArrowLeft" | "ArrowUp" => at.saturating_sub(1),
                "Home" => 0,
                "End" => last,
                "Enter" | " " => at,
                _ => return,
            };
            event.prevent_default();
            go(to);
        };
        let on_click = move |event: MouseEvent| {
            tip_of(&event);
            if let Some((i, _)) = token_under(&event) {
                go(i);
            }
        };
        if let Some(choice) = choice {
            effect(move || {
                if let (Some(strip), Some(i)) = (strip.get(), choice.chosen.get()) {
                    mark(&strip, i);
                }
            });
        }
        view! {
            <div
                node_ref=strip
                class=format!("text {tone}{}", if broken { " broken" } else { "" })
                role=if choice.is_some() { "listbox" } else { "list" }
                aria-label=label
                aria-orientation=choice.map(|_| "horizontal")
                on:pointerover=move |event| tip_of(&event)
                on:focusin=move |event| tip_of(&event)
                on:pointerleave=move |_| explorer.hide_tip()
                on:focusout=move |_| explorer.hide_tip()
                on:keydown=on_key
                on:click=on_click
            >
                {tokens}
            </div>
        }
        .into_any()
    }
}

/// What the halves of a token mean.
pub(crate) fn legend(scale: &str, latents: usize) -> AnyView {
    let sum = if latents > 1 {
        ", the latents added"
    } else {
        ""
    };
    let words = format!("top half: what base puts in, bottom half: chat{sum} · scale: {scale}");
    view! { <p class="legend small quiet"><span class="key" aria-hidden="true"></span>{words}</p> }
        .into_any()
}

fn token(i: usize, cell: &Cell, latent: Option<u32>, selectable: bool) -> AnyView {
    let (whole, base, chat) = match cell.paint {
        Paint::None | Paint::Whole(0.0) => (None, None, None),
        Paint::Whole(a) => (Some(a), None, None),
        Paint::Halves(base, chat) => (None, Some(base), Some(chat)),
    };
    let strength = |s: Option<f64>| s.map_or(String::new(), |s| rounded(s, 3));
    let mut class = String::from("tok");
    for (name, on) in [
        (" ctl", cell.chip),
        (" on", whole.is_some()),
        (" two", base.is_some()),
        (" peak", cell.peak),
        (" nl", cell.breaks),
    ] {
        if on {
            class.push_str(name);
        }
    }
    view! {
        <span
            class=class
            role=if selectable { "option" } else { "listitem" }
            tabindex=if i == 0 { "0" } else { "-1" }
            aria-selected=selectable.then_some("false")
            aria-label=cell.spoken.clone()
            data-testid="token"
            data-i=i.to_string()
            data-value=cell.value.map(|v| shortest(v.into()))
            data-latent=latent.map(|id| id.to_string())
            style=("--a", strength(whole.or(chat)))
            style=("--b", strength(base))
        >
            {cell.glyph.clone()}
        </span>
    }
    .into_any()
}

/// The token that an event is about.
fn token_under(event: &Event) -> Option<(usize, Element)> {
    let element: Element = event.target()?.dyn_into().ok()?;
    let token = element.closest("[data-i]").ok()??;
    let index = token.get_attribute("data-i")?.parse().ok()?;
    Some((index, token))
}

/// Makes a token the strip's tab stop and, in a list to choose from, its chosen one.
fn mark(strip: &Element, i: usize) -> Option<HtmlElement> {
    let next: HtmlElement = strip
        .query_selector(&format!("[data-i=\"{i}\"]"))
        .ok()??
        .dyn_into()
        .ok()?;
    let before = strip.query_selector("[tabindex=\"0\"]").ok().flatten();
    for (element, tab, selected) in [
        (before.as_ref(), "-1", "false"),
        (Some(next.as_ref()), "0", "true"),
    ] {
        let Some(element) = element else { continue };
        // These fail only for names that are no names.
        let _ = element.set_attribute("tabindex", tab);
        if element.has_attribute("aria-selected") {
            let _ = element.set_attribute("aria-selected", selected);
        }
    }
    Some(next)
}
