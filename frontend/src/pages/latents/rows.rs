//! The table's columns, and its rows as markup: only those around what is seen are in the page.

use api::LatentRow;

use crate::display::{
    decimal::share,
    markup::fill,
    numbers::{count, fixed_or_dash, percent_or_dash, short_or_dash},
    verdict::{NU_EPSILON_CUT, NU_R_CUT, class_style, verdict_name, verdict_short},
};

/// Height of a row in pixels of the page; the style sheet gets it from here.
pub(super) const HEIGHT: u32 = 33;

/// The fewest rows in the page above and below those that are seen.
const MORE: u64 = 4;

/// Rows by which the window moves on: few scroll steps change it.
const STEP: u64 = 4;

/// The row from which on rows are in the page when `first` is the first that is seen.
pub(super) fn before(first: u64) -> u64 {
    (first / STEP * STEP).saturating_sub(MORE)
}

/// Which rows are in the page when `height` pixels of rows are seen from row `first` on: the first of them, and how many. No more than
/// scrolling needs, since each is laid out and painted whenever the order changes.
pub(super) fn window(first: u64, height: f64) -> (u64, u64) {
    // One more than fit: the first and the last may be seen in part.
    let seen = (height / f64::from(HEIGHT)).ceil() as u64 + 1;
    let end = first / STEP * STEP + (STEP - 1) + seen + MORE;
    (before(first), end - before(first))
}

/// A column, and what its header says.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) key: &'static str,
    pub(super) title: &'static str,
}

const fn column(name: &'static str, key: &'static str, title: &'static str) -> Column {
    Column { name, key, title }
}

/// Columns with words, which stand to the left.
pub(super) fn is_words(key: &str) -> bool {
    matches!(key, "id" | "class" | "verdict")
}

/// Columns that are shown when none are chosen, besides the id.
pub(super) const USUAL: &[&str] = &[
    "class",
    "verdict",
    "delta_norm",
    "decoder_cosine",
    "nu_epsilon",
    "nu_r",
    "frequency",
    "max_activation",
    "template_share",
];

/// Every column there is.
pub(super) const COLUMNS: &[Column] = &[
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
    column("‖d_base‖", "norm_base", "norm of the base decoder row"),
    column("‖d_chat‖", "norm_chat", "norm of the chat decoder row"),
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
        "β act, base",
        "beta_activation_base",
        "coefficient on the base activation",
    ),
    column(
        "β act, chat",
        "beta_activation_chat",
        "coefficient on the chat activation",
    ),
    column(
        "β less bias, base",
        "beta_activation_no_bias_base",
        "coefficient on the base activation less the bias",
    ),
    column(
        "β less bias, chat",
        "beta_activation_no_bias_chat",
        "coefficient on the chat activation less the bias",
    ),
    column(
        "β rec, base",
        "beta_reconstruction_base",
        "coefficient on the base reconstruction",
    ),
    column(
        "β rec, chat",
        "beta_reconstruction_chat",
        "coefficient on the chat reconstruction",
    ),
    column(
        "β err, base",
        "beta_error_base",
        "coefficient on the base error",
    ),
    column(
        "β err, chat",
        "beta_error_chat",
        "coefficient on the chat error",
    ),
    column(
        "Frequency",
        "frequency",
        "share of tokens on which it fires",
    ),
    column("Active", "active_tokens", "tokens on which it fires"),
    column("Max v", "max_activation", "largest activation"),
    column(
        "Mean v",
        "mean_activation",
        "mean activation over the tokens on which it fires",
    ),
    column(
        "Template",
        "template_share",
        "share of its active tokens that are control tokens of the chat template",
    ),
];

/// Rows with the space of those before and after them, which are not in the page.
pub(super) fn body(
    rows: &[LatentRow],
    columns: &[&'static str],
    first: u64,
    total: u64,
    href: impl Fn(u32, u64) -> String,
    note: impl Fn(u32) -> Option<(String, String)>,
) -> String {
    let mut out = String::new();
    let space = |out: &mut String, rows: u64| {
        if rows > 0 {
            let height = count_pixels(rows);
            fill(
                out,
                "<tr class=\"space\" aria-hidden=\"true\"><td data-style=\"height:{}px\"></td></tr>",
                &[&height],
            );
        }
    };
    space(&mut out, first);
    let mut at = first;
    for row in rows {
        line(&mut out, row, columns, at, &href(row.id, at), note(row.id));
        at += 1;
    }
    space(&mut out, total.saturating_sub(at));
    out
}

fn count_pixels(rows: u64) -> String {
    (rows * u64::from(HEIGHT)).to_string()
}

fn line(
    out: &mut String,
    row: &LatentRow,
    columns: &[&'static str],
    at: u64,
    href: &str,
    note: Option<(String, String)>,
) {
    let id = row.id.to_string();
    // The header is the first row.
    let index = (at + 2).to_string();
    let class = row.class.as_str();
    fill(
        out,
        "<tr data-testid=\"latent-row\" data-latent=\"{}\" data-class=\"{}\" aria-rowindex=\"{}\"><th scope=\"row\" class=\"l\"><a href=\"{}\" class=\"open\" data-row=\"\"><span class=\"mono\">{}</span>",
        &[&id, class, &index, href, &id],
    );
    if let Some(label) = &row.label {
        fill(out, "<span class=\"label\">{}</span>", &[label]);
    }
    out.push_str("</a>");
    if row.dead == Some(true) {
        out.push_str("<span class=\"tag plain\">dead</span>");
    }
    if let Some((sign, more)) = note {
        let template = "<span class=\"tag plain\" data-testid=\"noted\" title=\"{}\">{}</span>";
        fill(out, template, &[&more, &sign]);
    }
    out.push_str("</th>");
    for key in columns {
        cell(out, row, key);
    }
    out.push_str("</tr>");
}

fn cell(out: &mut String, row: &LatentRow, key: &str) {
    const NUMBER: &str = "<td>{}</td>";
    let betas = &row.betas;
    let judged = row.verdict.is_some();
    let ratio = |out: &mut String, value: Option<f64>, cut: f64| {
        let fails = judged && value.is_none_or(|x| x >= cut);
        let words = fixed_or_dash(value, 3);
        fill(
            out,
            "<td class=\"{}\">{}</td>",
            &[if fails { "fails" } else { "" }, &words],
        );
    };
    let text = match key {
        "class" => {
            let template =
                "<td class=\"l\"><span class=\"tag {}\"><i aria-hidden=\"true\"></i>{}</span></td>";
            return fill(out, template, &[class_style(row.class), row.class.as_str()]);
        }
        "verdict" => {
            let Some(verdict) = row.verdict else {
                return out.push_str("<td class=\"l\">–</td>");
            };
            let sure = if verdict == api::Verdict::ChatSpecific {
                "sure"
            } else {
                ""
            };
            let template = "<td class=\"l\"><span class=\"verdict {}\" title=\"{}\">{}</span></td>";
            return fill(
                out,
                template,
                &[sure, verdict_name(verdict), verdict_short(verdict)],
            );
        }
        "delta_norm" => {
            let Some(delta) = row.delta_norm else {
                return fill(out, NUMBER, &["–"]);
            };
            let template = "<td><span class=\"cellbar\" aria-hidden=\"true\"><b data-style=\"left:{}\"></b></span>{}</td>";
            return fill(
                out,
                template,
                &[&share(delta), &fixed_or_dash(Some(delta), 3)],
            );
        }
        "nu_epsilon" => return ratio(out, row.nu_epsilon, NU_EPSILON_CUT),
        "nu_r" => return ratio(out, row.nu_r, NU_R_CUT),
        "norm_base" => short_or_dash(Some(row.norm_base)),
        "norm_chat" => short_or_dash(Some(row.norm_chat)),
        "decoder_cosine" => fixed_or_dash(row.decoder_cosine, 2),
        "frequency" => percent_or_dash(row.frequency),
        "active_tokens" => row.active_tokens.map_or("–".into(), count),
        "max_activation" => short_or_dash(row.max_activation),
        "mean_activation" => short_or_dash(row.mean_activation),
        "template_share" => percent_or_dash(row.template_share),
        beta => short_or_dash(match beta {
            "beta_activation_base" => betas.beta_activation_base,
            "beta_activation_chat" => betas.beta_activation_chat,
            "beta_activation_no_bias_base" => betas.beta_activation_no_bias_base,
            "beta_activation_no_bias_chat" => betas.beta_activation_no_bias_chat,
            "beta_reconstruction_base" => betas.beta_reconstruction_base,
            "beta_reconstruction_chat" => betas.beta_reconstruction_chat,
            "beta_error_base" => betas.beta_error_base,
            "beta_error_chat" => betas.beta_error_chat,
            _ => None,
        }),
    };
    fill(out, NUMBER, &[&text]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u32) -> LatentRow {
        serde_json::from_value(serde_json::json!({
            "id": id, "class": "chat-only", "label": "a <lock>", "norm_base": 0.5, "norm_chat": 2.0, "nu_r": 0.7, "verdict": "both",
            "beta_error_chat": 0.25, "active_tokens": 1234, "dead": true,
        }))
        .unwrap()
    }

    #[test]
    fn every_column_is_one_the_wire_has_and_shows_its_value() {
        for column in COLUMNS {
            assert!(api::LATENT_COLUMNS.contains(&column.key), "{}", column.key);
        }
        let shown = |key: &'static str| {
            body(
                &[row(7)],
                &[key],
                0,
                1,
                |id, at| format!("/l/{id}?{at}"),
                |_| None,
            )
        };
        for (key, value) in [
            ("norm_chat", "<td>2.00</td>"),
            ("beta_error_chat", "<td>0.250</td>"),
            ("beta_error_base", "<td>–</td>"),
            ("active_tokens", "<td>1,234</td>"),
            ("nu_r", "<td class=\"fails\">0.700</td>"),
        ] {
            let markup = shown(key);
            assert!(markup.contains(value), "{markup}");
            assert!(
                markup.contains("a &lt;lock&gt;")
                    && markup.contains("href=\"/l/7?0\"")
                    && markup.contains("dead")
            );
        }
    }

    #[test]
    fn rows_out_of_sight_are_space() {
        let markup = body(
            &[row(1), row(2)],
            &[],
            10,
            100,
            |_, _| String::new(),
            |id| (id == 2).then(|| ("★ 4".into(), "<b>".into())),
        );
        assert_eq!(markup.matches("title=\"&lt;b&gt;\">★ 4<").count(), 1);
        assert!(
            markup.contains("height:330px") && markup.contains("height:2904px"),
            "{markup}"
        );
        assert!(markup.contains("aria-rowindex=\"12\"") && markup.contains("aria-rowindex=\"13\""));
    }

    #[test]
    fn rows_that_are_seen_are_in_the_page_with_some_above_and_below() {
        let (height, seen) = (500.0, 16);
        for first in 0..100 {
            let (from, many) = window(first, height);
            assert_eq!(from, before(first));
            assert!(from <= first.saturating_sub(MORE), "{first}: from {from}");
            assert!(from + many >= first + seen + MORE, "{first}: {many}");
            assert!(many <= seen + 2 * (MORE + STEP), "{first}: {many}");
        }
        assert!(window(0, height).1 < window(50, height).1);
    }
}
