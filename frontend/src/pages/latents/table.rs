//! The table of latents.

use api::LatentRow;
use leptos::{ev::MouseEvent, html, prelude::*, web_sys::HtmlElement};
use wasm_bindgen::JsCast;

use super::Triage;
use crate::{
    display::{
        decimal::share,
        numbers::{fixed_or_dash, percent_or_dash, short_or_dash},
        verdict::{NU_EPSILON_CUT, NU_R_CUT},
    },
    explorer::explorer,
    parts::{
        badge::{class_cell, latent_link, verdict_cell},
        keys::use_keys,
        live::live,
        states::empty,
        symbols::symbol,
    },
    state::{UrlState, latent::LatentState, place::latent_path},
};

/// A header that sorts.
struct Column {
    name: &'static str,
    key: &'static str,
    title: &'static str,
}

const fn column(name: &'static str, key: &'static str, title: &'static str) -> Column {
    Column { name, key, title }
}

/// Columns with words, which stand to the left.
const WORDS: usize = 3;

const COLUMNS: &[Column] = &[
    column("Latent", "id", "id, and a label where there is one"),
    column("Class", "class", "by Δ_norm and the study’s cuts"),
    column(
        "Verdict",
        "verdict",
        "of Latent Scaling, for chat-only latents",
    ),
    column(
        "Δ_norm",
        "delta_norm",
        "decoder norm difference: 1 = chat-only, 0 = base-only",
    ),
    column("cosine", "decoder_cosine", "cosine of the two decoder rows"),
    column(
        "ν^ε",
        "nu_epsilon",
        "Latent Scaling ratio on the error; small: not in the base model’s error",
    ),
    column(
        "ν^r",
        "nu_r",
        "Latent Scaling ratio on the reconstruction; small: no other latent writes it in the base model",
    ),
    column(
        "Frequency",
        "frequency",
        "share of tokens on which it fires",
    ),
    column("Max v", "max_activation", "largest activation"),
    column(
        "Template",
        "template_share",
        "share of its active tokens that are control tokens of the chat template",
    ),
];

/// Header, rows, and the keys that walk over them.
pub(super) fn table(triage: Triage) -> AnyView {
    let body = NodeRef::<html::Tbody>::new();
    use_keys(move |key, event| {
        let step = match key {
            "j" => 1,
            "k" => -1,
            _ => return,
        };
        event.prevent_default();
        if let Some(body) = body.get_untracked() {
            move_focus(&body, step);
        }
    });
    let heads = COLUMNS
        .iter()
        .enumerate()
        .map(|(i, column)| head(triage, column, i < WORDS))
        .collect_view();
    let rows = live(move || {
        let slug = triage.slug.get();
        // Rows and the address that they answer change one after the other: only new rows are drawn.
        let selection = triage.state.with_untracked(UrlState::write);
        let open = |row: &LatentRow| {
            let state = LatentState {
                from: Some(selection.clone()).filter(|query| !query.is_empty()),
                ..LatentState::default()
            };
            line(state.href(&latent_path(&slug, row.id)), row)
        };
        triage
            .page
            .get()
            .map(|page| page.rows.iter().map(open).collect_view())
    });
    let nothing = live(move || {
        let page = triage.page.get()?;
        let why = explorer()
            .dictionary(Some(&triage.slug.read()))
            .and_then(|d| d.analysis.reason);
        let hint = why.unwrap_or_else(|| "Widen a bound or clear them.".into());
        page.rows
            .is_empty()
            .then(|| empty(format!("No latent passes these filters. {hint}")))
    });
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Table of latents">
            <table class="rows latents" data-testid="latents">
                <caption class="unseen">"Latents. Headers sort; with Shift they add a column to the order. j and k move between rows, Enter opens one."</caption>
                <thead><tr>{heads}</tr></thead>
                <tbody node_ref=body>{rows}</tbody>
            </table>
        </div>
        {nothing}
    }
    .into_any()
}

fn head(triage: Triage, column: &'static Column, left: bool) -> AnyView {
    let name = column.key;
    let click = move |event: MouseEvent| {
        let keep = event.shift_key();
        triage.update(|state| state.sort_by(name, keep));
    };
    let sorted = move || {
        let state = triage.state.read();
        let key = state.sort.iter().find(|s| s.column == name);
        key.map(|key| {
            if key.descending {
                "descending"
            } else {
                "ascending"
            }
        })
    };
    let sign = move || {
        let state = triage.state.read();
        let Some(at) = state.sort.iter().position(|s| s.column == name) else {
            return String::new();
        };
        let falls = state.sort.get(at).is_some_and(|s| s.descending);
        let arrow = if falls { "↓" } else { "↑" };
        if state.sort.len() > 1 {
            format!("{arrow}{}", at + 1)
        } else {
            arrow.to_owned()
        }
    };
    view! {
        <th scope="col" class=if left { "l" } else { "" } aria-sort=sorted data-column=name>
            <button type="button" class="head" title=column.title on:click=click>
                {symbol(column.name)}
                <span class="sign" aria-hidden="true">{sign}</span>
            </button>
        </th>
    }
    .into_any()
}

fn line(href: String, row: &LatentRow) -> AnyView {
    let judged = row.verdict.is_some();
    let number = |text: String| view! { <td>{text}</td> }.into_any();
    let ratio = |value: Option<f64>, cut: f64| {
        let fails = judged && value.is_none_or(|x| x >= cut);
        view! { <td class=if fails { "fails" } else { "" }>{fixed_or_dash(value, 3)}</td> }
            .into_any()
    };
    let bar = row.delta_norm.map(|delta| {
        view! { <span class="cellbar" aria-hidden="true"><b style=("left", share(delta))></b></span> }.into_any()
    });
    let dead = (row.dead == Some(true))
        .then(|| view! { <span class="tag plain">"dead"</span> }.into_any());
    view! {
        <tr data-testid="latent-row" data-latent=row.id.to_string() data-class=row.class.as_str()>
            <th scope="row" class="l">{latent_link(href, row.id, None, row.label.clone())}{dead}</th>
            <td class="l">{class_cell(row.class)}</td>
            <td class="l">{verdict_cell(row.verdict)}</td>
            <td>{bar}{fixed_or_dash(row.delta_norm, 3)}</td>
            {number(fixed_or_dash(row.decoder_cosine, 2))}
            {ratio(row.nu_epsilon, NU_EPSILON_CUT)}
            {ratio(row.nu_r, NU_R_CUT)}
            {number(percent_or_dash(row.frequency))}
            {number(short_or_dash(row.max_activation))}
            {number(percent_or_dash(row.template_share))}
        </tr>
    }
    .into_any()
}

/// Moves the focus from the focused row's link to the next or previous one.
fn move_focus(body: &HtmlElement, step: i32) {
    let Ok(links) = body.query_selector_all("[data-row]") else {
        return;
    };
    let active = document().active_element();
    let last = links.length() as i32 - 1;
    let is_active = |i: i32| {
        links
            .item(i as u32)
            .is_some_and(|link| active.as_ref().is_some_and(|a| link.is_same_node(Some(a))))
    };
    let to = (0..=last)
        .find(|&i| is_active(i))
        .map_or(0, |at| (at + step).clamp(0, last.max(0)));
    if let Some(link) = links
        .item(to as u32)
        .and_then(|l| l.dyn_into::<HtmlElement>().ok())
    {
        // Fails only for elements that are gone.
        let _ = link.focus();
    }
}
