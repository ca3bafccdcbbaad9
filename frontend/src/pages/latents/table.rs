//! The table of latents.

use api::{DictionaryInfo, LatentRow};
use leptos::{ev::MouseEvent, html, prelude::*, web_sys::HtmlElement};
use wasm_bindgen::JsCast;

use super::Triage;
use crate::{
    display::{
        numbers::{fixed_or_dash, percent_or_dash, short_or_dash},
        verdict::{NU_EPSILON_CUT, NU_R_CUT},
    },
    explorer::explorer,
    nav::latent_path,
    parts::{
        badge::{class_cell, verdict_cell},
        keys::use_keys,
        states::empty,
    },
};

/// A header that sorts.
struct Column {
    name: &'static str,
    column: &'static str,
    title: &'static str,
    left: bool,
}

const COLUMNS: &[Column] = &[
    Column {
        name: "Latent",
        column: "id",
        title: "id, and a label where there is one",
        left: true,
    },
    Column {
        name: "Class",
        column: "class",
        title: "by Δ_norm and the study’s cuts",
        left: true,
    },
    Column {
        name: "Verdict",
        column: "verdict",
        title: "of Latent Scaling, for chat-only latents",
        left: true,
    },
    Column {
        name: "Δ_norm",
        column: "delta_norm",
        title: "decoder norm difference: 1 = chat-only, 0 = base-only",
        left: false,
    },
    Column {
        name: "cosine",
        column: "decoder_cosine",
        title: "cosine of the two decoder rows",
        left: false,
    },
    Column {
        name: "ν^ε",
        column: "nu_epsilon",
        title: "Latent Scaling ratio on the error; small: not in the base model’s error",
        left: false,
    },
    Column {
        name: "ν^r",
        column: "nu_r",
        title: "Latent Scaling ratio on the reconstruction; small: no other latent writes it in the base model",
        left: false,
    },
    Column {
        name: "Frequency",
        column: "frequency",
        title: "share of tokens on which it fires",
        left: false,
    },
    Column {
        name: "Max v",
        column: "max_activation",
        title: "largest activation",
        left: false,
    },
    Column {
        name: "Template",
        column: "template_share",
        title: "share of its active tokens that are control tokens of the chat template",
        left: false,
    },
];

/// Header, rows, and the keys that walk over them.
#[component]
pub(super) fn Table(triage: Triage) -> impl IntoView {
    let explorer = explorer();
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
        .map(|column| head(triage, column))
        .collect_view();
    let rows = move || {
        let Some(page) = triage.page.get() else {
            return ().into_any();
        };
        let slug = triage.slug.get();
        page.rows
            .iter()
            .map(|row| line(&slug, row))
            .collect_view()
            .into_any()
    };
    let nothing = move || {
        let page = triage.page.get()?;
        let why = explorer
            .dictionary(Some(&triage.slug.get()))
            .and_then(|d: DictionaryInfo| d.analysis.reason);
        page.rows.is_empty().then(|| {
            let hint = why.map_or_else(
                || "No latent passes these filters. Widen a bound or clear them.".to_owned(),
                |why| format!("No latent passes these filters. {why}"),
            );
            empty(hint)
        })
    };
    view! {
        <div class="scroll">
            <table class="rows latents" data-testid="latents">
                <caption class="unseen">"Latents. Headers sort; with Shift they add a column to the order. j and k move between rows, Enter opens one."</caption>
                <thead><tr>{heads}</tr></thead>
                <tbody node_ref=body>{rows}</tbody>
            </table>
        </div>
        {nothing}
    }
}

fn head(triage: Triage, column: &'static Column) -> AnyView {
    let key = move || {
        let sort = triage.state.read();
        let at = sort.sort.iter().position(|s| s.column == column.column)?;
        sort.sort
            .get(at)
            .map(|s| (at, s.descending, sort.sort.len()))
    };
    let click = move |event: MouseEvent| {
        let keep = event.shift_key();
        triage.update(|state| state.sort_by(column.column, keep));
    };
    let sorted = move || {
        key().map(|(_, descending, _)| {
            if descending {
                "descending"
            } else {
                "ascending"
            }
        })
    };
    let sign = move || {
        let (at, descending, of) = key()?;
        let arrow = if descending { "↓" } else { "↑" };
        Some(if of > 1 {
            format!("{arrow}{}", at + 1)
        } else {
            arrow.to_owned()
        })
    };
    view! {
        <th scope="col" class:l=column.left aria-sort=sorted data-column=column.column>
            <button type="button" class="head" title=column.title on:click=click>{column.name}<span class="sign" aria-hidden="true">{sign}</span></button>
        </th>
    }
    .into_any()
}

fn line(slug: &str, row: &LatentRow) -> AnyView {
    let fails =
        |value: Option<f64>, cut: f64| row.verdict.is_some() && value.is_none_or(|x| x >= cut);
    let bar = row.delta_norm.map(|delta| {
        view! { <span class="cellbar" aria-hidden="true"><b style=("left", format!("{:.1}%", delta * 100.0))></b></span> }
    });
    let dead = (row.dead == Some(true)).then(|| view! { <span class="tag plain">"dead"</span> });
    view! {
        <tr data-testid="latent-row" data-latent=row.id data-class=row.class.as_str()>
            <th scope="row" class="l">
                <a href=latent_path(slug, row.id) class="open" data-row>
                    <span class="mono">{row.id}</span>
                    {row.label.clone().map(|label| view! { <span class="label">{label}</span> })}
                </a>
                {dead}
            </th>
            <td class="l">{class_cell(row.class)}</td>
            <td class="l">{verdict_cell(row.verdict)}</td>
            <td>{bar}{fixed_or_dash(row.delta_norm, 3)}</td>
            <td>{fixed_or_dash(row.decoder_cosine, 2)}</td>
            <td class:fails=fails(row.nu_epsilon, NU_EPSILON_CUT)>{fixed_or_dash(row.nu_epsilon, 3)}</td>
            <td class:fails=fails(row.nu_r, NU_R_CUT)>{fixed_or_dash(row.nu_r, 3)}</td>
            <td>{percent_or_dash(row.frequency)}</td>
            <td>{short_or_dash(row.max_activation)}</td>
            <td>{percent_or_dash(row.template_share)}</td>
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
    let at = (0..=last).find(|&i| {
        links
            .item(i as u32)
            .is_some_and(|link| active.as_ref().is_some_and(|a| link.is_same_node(Some(a))))
    });
    let to = at.map_or(0, |at| (at + step).clamp(0, last.max(0)));
    if let Some(link) = links
        .item(to as u32)
        .and_then(|l| l.dyn_into::<HtmlElement>().ok())
    {
        let _ = link.focus();
    }
}
