//! The left dictionary's latents, each beside the nearest one of the right.

use api::{Class, LatentRow, MatchBy, MatchesPage};
use leptos::prelude::*;

use super::Comparison;
use crate::{
    display::{
        decimal::{self, shortest},
        markup::{close, fill, head, open},
        numbers::{count, fixed_or_dash, percent_or_dash},
        reason::shown,
        verdict::{class_style, verdict_name, verdict_short},
    },
    explorer::explorer,
    parts::{
        card::Card,
        field::{Button, Field, Select},
        histogram::{Bars, Tone},
        live::memo,
        segments::segments,
        states::{empty, loaded, warning},
    },
    state::{
        compare::{Listed, ORDERS, PAGE},
        place::latent_path,
    },
};

/// Ways to compare, with their words in the address, on their button, and what they mean.
const WAYS: [(MatchBy, &str, &str, &str); 2] = [
    (
        MatchBy::Both,
        "both",
        "Base and chat rows",
        "Cosine of the base row with the chat row behind it: what the latent writes into both models.",
    ),
    (
        MatchBy::Chat,
        "chat",
        "Chat rows",
        "Cosine of the chat rows alone: what the latent writes into the chat model, whatever it writes into base.",
    ),
];

/// The card.
pub(super) fn card(comparison: Comparison) -> AnyView {
    let body = loaded(comparison.page, 12, move |page| {
        match page.computed.reason.clone() {
            Some(reason) => warning(reason),
            None => answer(comparison, &page),
        }
    });
    let slow = comparison.page.state.slow();
    let body = view! { {controls(comparison)}<div class="stack" class:busy=move || slow.get()>{body}</div> };
    Card {
        class: " matches",
        ..Card::new("matches", "Matching latents")
    }
    .with(line(comparison), body.into_any())
}

/// How many of the selection are listed, and because of what.
fn line(comparison: Comparison) -> AnyView {
    let words = move || {
        let (Some(page), Some([left, right])) = (comparison.page.get(), comparison.sides.get())
        else {
            return String::new();
        };
        if !page.computed.available {
            return String::new();
        }
        let all = explorer()
            .dictionary(Some(&left))
            .map_or(page.selected, |d| d.latents as u64);
        let state = comparison.state.read();
        let cut = shortest(state.cut);
        let selected = shown(page.selected, all);
        let listed = count(page.total);
        match state.listed {
            Listed::All => format!("{selected} of {left} beside {right}"),
            Listed::Matched => {
                format!(
                    "{listed} of {selected} of {left}, because their cosine with one of {right} is {cut} or more"
                )
            }
            Listed::Unmatched => {
                format!(
                    "{listed} of {selected} of {left}, because no cosine with one of {right} is above {cut}"
                )
            }
        }
    };
    view! { <span class="small quiet" data-testid="match-count" aria-live="polite">{words}</span> }
        .into_any()
}

/// Ways to compare, what is listed, and the order.
fn controls(comparison: Comparison) -> AnyView {
    let state = comparison.state;
    let way = memo(move || state.read().by.as_str());
    let ways = WAYS.map(|(_, name, words, _)| (name, words));
    let choose_way = Callback::new(move |name: &'static str| {
        if let Some(way) = WAYS.iter().find(|w| w.1 == name) {
            comparison.update(|state| state.by = way.0);
        }
    });
    let listed = memo(move || state.read().listed.word());
    let lists = Listed::ALL.map(|(_, name, words)| (name, words));
    let choose_list = Callback::new(move |name: &'static str| {
        if let Some(list) = Listed::ALL.iter().find(|l| l.1 == name) {
            comparison.update(|state| state.listed = list.0);
        }
    });
    let cut = Field::number("Least cosine of a match", "match-cut").showing(
        move || shortest(state.read().cut),
        move |text| {
            if let Some(cut) = decimal::read(&text) {
                comparison.update(|state| state.cut = cut.clamp(-1.0, 1.0));
            }
        },
    );
    let order = Select::new("Order", "match-order", ORDERS).showing(
        move || state.read().order.to_owned(),
        move |name| {
            if let Some(order) = ORDERS.iter().find(|o| o.0 == name) {
                comparison.update(|state| state.order = order.0);
            }
        },
    );
    let about = move || {
        let by = state.read().by;
        WAYS.iter().find(|w| w.0 == by).map_or("", |w| w.3)
    };
    view! {
        <div class="line">
            {segments("Rows compared", "match-by", &ways, way, choose_way)}
            {segments("Latents listed", "match-listed", &lists, listed, choose_list)}
            <label class="pair small">"match from cosine "{cut}</label>
            {order}
        </div>
        <p class="small quiet">{about}</p>
    }
    .into_any()
}

fn answer(comparison: Comparison, page: &MatchesPage) -> AnyView {
    let edges = &page.cosines.edges;
    let ticks = [edges.first(), edges.get(edges.len() / 2), edges.last()];
    let bars = Bars {
        histogram: page.cosines.clone(),
        name: "cosine",
        counted: "latents",
        tone: Tone::Class(Class::Other),
        ticks: ticks.into_iter().flatten().copied().collect(),
    };
    if page.rows.is_empty() {
        let none = empty("No latent of the selection is here. Move the cut, or list all.");
        return view! { {bars.show()}{none} }.into_any();
    }
    let table = comparison.sides.get_untracked();
    let table = table.map_or(String::new(), |sides| table_of(page, &sides));
    view! {
        {bars.show()}
        <div class="scroll" tabindex="0" role="region" aria-label="Matching latents, scrolling">
            <table class="rows" data-testid="matches-table" inner_html=table></table>
        </div>
        {pages(comparison, page.total)}
    }
    .into_any()
}

/// Where in the list one is, and the ways to go on.
fn pages(comparison: Comparison, total: u64) -> AnyView {
    let first = comparison.state.read_untracked().first;
    let last = (first + PAGE).min(total);
    let button = |words, test| Button {
        test: Some(test),
        ..Button::new(words)
    };
    let go = move |first: u64| {
        comparison.update(|state| state.first = first);
    };
    let words = format!("{}–{} of {}", count(first + 1), count(last), count(total));
    view! {
        <div class="line small">
            {button("Previous", "previous-page").unless(move || first == 0, move || go(first.saturating_sub(PAGE)))}
            <span class="num" data-testid="page">{words}</span>
            {button("Next", "next-page").unless(move || last == total, move || go(last))}
        </div>
    }
    .into_any()
}

/// The rows as markup.
fn table_of(page: &MatchesPage, [left, right]: &[String; 2]) -> String {
    let mut out = String::new();
    let columns = [
        (left.as_str(), "l"),
        ("verdict", "l"),
        ("Δ_norm", ""),
        ("frequency", ""),
        ("cosine", ""),
        (right.as_str(), "l"),
        ("verdict", "l"),
        ("Δ_norm", ""),
        ("frequency", ""),
    ];
    head(&mut out, &columns);
    open(&mut out, "tbody", &[]);
    for of in &page.rows {
        let id = of.latent.id.to_string();
        let template = "<tr data-testid=\"match\" data-latent=\"{}\">";
        fill(&mut out, template, &[&id]);
        latent(&mut out, Some(&of.latent), left, "th");
        let cosine = fixed_or_dash(of.match_cosine, 3);
        fill(&mut out, "<td data-cosine><b>{}</b></td>", &[&cosine]);
        latent(&mut out, of.matched.as_ref(), right, "td");
        close(&mut out, "tr");
    }
    close(&mut out, "tbody");
    out
}

/// Four cells of a latent: link with class and label, verdict, Δ_norm, frequency.
fn latent(out: &mut String, row: Option<&LatentRow>, slug: &str, tag: &str) {
    let scope: &[(&str, &str)] = if tag == "th" {
        &[("scope", "row"), ("class", "l")]
    } else {
        &[("class", "l")]
    };
    open(out, tag, scope);
    let Some(row) = row else {
        out.push_str("none");
        close(out, tag);
        out.push_str("<td class=\"l\">–</td><td>–</td><td>–</td>");
        return;
    };
    let (id, path) = (row.id.to_string(), latent_path(slug, row.id));
    let (style, class) = (class_style(row.class), row.class.as_str());
    let template = "<a href=\"{}\" class=\"open\"><span class=\"mark {}\" title=\"{}\"><i aria-hidden=\"true\"></i><span class=\"unseen\">{}</span></span><span class=\"mono\">{}</span>";
    fill(out, template, &[&path, style, class, class, &id]);
    if let Some(label) = &row.label {
        fill(out, "<span class=\"label\">{}</span>", &[label]);
    }
    out.push_str("</a>");
    if row.dead == Some(true) {
        out.push_str("<span class=\"tag plain\">dead</span>");
    }
    close(out, tag);
    let verdict = row.verdict.map_or(("", "–"), |verdict| {
        (verdict_name(verdict), verdict_short(verdict))
    });
    fill(
        out,
        "<td class=\"l\"><span class=\"verdict\" title=\"{}\">{}</span></td><td>{}</td><td>{}</td>",
        &[
            verdict.0,
            verdict.1,
            &fixed_or_dash(row.delta_norm, 3),
            &percent_or_dash(row.frequency),
        ],
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::{Availability, Histogram, LatentMatch};

    #[test]
    fn every_row_links_both_latents() {
        let row = |id: u32| -> LatentRow {
            serde_json::from_value(serde_json::json!({
                "id": id, "class": "chat-only", "label": "a <lock>", "norm_base": 0.5, "norm_chat": 2.0, "delta_norm": 0.91,
                "verdict": "both", "dead": id == 7,
            }))
            .unwrap()
        };
        let page = MatchesPage {
            computed: Availability {
                available: true,
                reason: None,
            },
            selected: 2,
            total: 2,
            cosines: Histogram::default(),
            rows: vec![
                LatentMatch {
                    latent: row(7),
                    match_cosine: Some(0.98765),
                    matched: Some(row(31)),
                },
                LatentMatch {
                    latent: row(8),
                    match_cosine: None,
                    matched: None,
                },
            ],
        };
        let table = table_of(&page, &["l1".into(), "top k".into()]);
        for part in [
            "href=\"d/l1/l/7\"",
            "href=\"d/top%20k/l/31\"",
            "<b>0.988</b>",
            "a &lt;lock&gt;",
            "both suspects",
            "none</td>",
        ] {
            assert!(table.contains(part), "{part} in {table}");
        }
        assert_eq!(table.matches("dead</span>").count(), 1);
        assert_eq!(
            table.matches("<t").count(),
            1 + 1 + 9 + 1 + 2 * 10,
            "whole rows"
        );
    }
}
