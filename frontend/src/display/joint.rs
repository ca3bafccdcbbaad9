//! How two latents fire on the same tokens, as a grid of five by five and a sentence.

use api::{JointActivity, JointCounts};

use super::{
    decimal::rounded,
    markup::fill,
    numbers::{count, percent, rough, tick},
};

/// First bucket of what counts as strong.
const STRONG: usize = 3;

/// Appends the sentence and both grids of a pair: by the larger maximum of the two, and by their own.
pub(crate) fn joint(out: &mut String, activity: &JointActivity, pair: [u32; 2]) {
    let other = pair[1].to_string();
    fill(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Joint histograms with latent {}\" data-testid=\"joint\">\
         <h3 class=\"small\">On the same tokens as latent {}</h3><p class=\"small\">{}</p><details open><summary>Shares of the larger \
         maximum</summary>",
        &[&other, &other, &sentence(activity)],
    );
    grid(out, &activity.edges, &activity.by_pair, pair);
    out.push_str("</details><details><summary>Shares of their own maxima</summary>");
    grid(out, &activity.edges, &activity.by_own, pair);
    out.push_str("</details></div>");
}

/// Appends what to run to know how a pair fires on the same tokens.
pub(crate) fn unknown(out: &mut String, [_, other]: [u32; 2], command: &str) {
    fill(
        out,
        "<p class=\"small quiet\">How this latent and {} fire on the same tokens was not computed: run <code>{}</code>.</p>",
        &[&other.to_string(), command],
    );
}

fn sentence(activity: &JointActivity) -> String {
    let share = |counts: &JointCounts| percent(counts.divergence);
    if strong(&activity.by_own) == 0 {
        return "Neither fires above 0.4 of its maximum in the tokens analysed, so nothing tells whether they diverge.".into();
    }
    [
        "Divergence ",
        &share(&activity.by_pair),
        ": so often, where one of the two is above 0.4 of the larger maximum, the other is at most at 0.1 (by their own maxima ",
        &share(&activity.by_own),
        ").",
    ]
    .concat()
}

/// Tokens on which any of the two is strong.
fn strong(counts: &JointCounts) -> u64 {
    let rows = counts.counts.iter().enumerate();
    rows.flat_map(|(i, row)| row.iter().enumerate().map(move |(j, n)| (i.max(j), n)))
        .filter(|(bucket, _)| *bucket >= STRONG)
        .map(|(_, n)| n)
        .sum()
}

/// Names of the buckets, from not active on.
fn names(edges: &[f64]) -> Vec<String> {
    let uppers = edges.iter().skip(1).map(|edge| tick(*edge));
    let upper: Vec<String> = uppers.chain(["1".into()]).collect();
    [("off").to_owned()]
        .into_iter()
        .chain(upper.iter().map(|to| ["≤ ", to].concat()))
        .collect()
}

fn grid(out: &mut String, edges: &[f64], counts: &JointCounts, [this, other]: [u32; 2]) {
    let names = names(edges);
    let most = counts
        .counts
        .iter()
        .flatten()
        .max()
        .map_or(0.0, |n| *n as f64);
    let (this, other) = (this.to_string(), other.to_string());
    fill(
        out,
        "<table class=\"joint\"><caption>Tokens: rows are latent {}, columns latent {}</caption><thead><tr><td></td>",
        &[&this, &other],
    );
    for name in &names {
        fill(out, "<th scope=\"col\">{}</th>", &[name]);
    }
    out.push_str("</tr></thead><tbody>");
    for (name, row) in names.iter().zip(&counts.counts) {
        fill(out, "<tr><th scope=\"row\">{}</th>", &[name]);
        for &n in row {
            // Counts spread over magnitudes: the shade follows their logarithm.
            let shade = ((n as f64).ln_1p() / most.ln_1p().max(1.0)).min(1.0);
            let style = ["--h:", &rounded(shade, 3)].concat();
            fill(
                out,
                "<td title=\"{} tokens\" data-style=\"{}\">{}</td>",
                &[&count(n), &style, &rough(n)],
            );
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(cells: &[(usize, usize, u64)], divergence: f64) -> JointCounts {
        let mut counts = vec![vec![0; 5]; 5];
        for &(i, j, n) in cells {
            counts[i][j] = n;
        }
        JointCounts { counts, divergence }
    }

    fn activity(cells: &[(usize, usize, u64)], divergence: f64) -> JointActivity {
        JointActivity {
            edges: vec![1e-6, 0.1, 0.4, 0.7],
            by_pair: counts(cells, divergence),
            by_own: counts(cells, divergence),
        }
    }

    fn shown(activity: &JointActivity) -> String {
        let mut out = String::new();
        joint(&mut out, activity, [7, 9]);
        out
    }

    #[test]
    fn grids_have_every_bucket_and_the_sentence_the_divergence() {
        let shown = shown(&activity(&[(0, 0, 120_000), (4, 0, 3), (3, 3, 1)], 0.75));
        assert!(shown.contains("Divergence 75 %"), "{shown}");
        assert!(shown.contains("rows are latent 7, columns latent 9"));
        assert_eq!(shown.matches("<td title=").count(), 50);
        assert_eq!(shown.matches("<th scope=\"col\">").count(), 10);
        assert!(shown.contains("<th scope=\"row\">≤ 0.4</th>"));
        assert!(
            shown.contains("title=\"120,000 tokens\" data-style=\"--h:1.000\">120 k"),
            "{shown}"
        );
    }

    #[test]
    fn what_is_never_strong_has_no_divergence() {
        let shown = shown(&activity(&[(0, 0, 50), (2, 1, 3)], 0.0));
        assert!(shown.contains("Neither fires above 0.4") && !shown.contains("Divergence"));
    }
}
