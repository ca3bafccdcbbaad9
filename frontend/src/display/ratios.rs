//! Distributions of Latent Scaling's ratios as small histograms under each other, on one axis.

use api::{RatioSummary, ScalingGroup, ScalingSummary};

use super::{
    decimal::share,
    markup::{close, head, leaf, open, rect, worded},
    numbers::{count, fixed, tick},
    scale::place,
    verdict::{NU_EPSILON_CUT, NU_R_CUT},
};

/// One of the two ratios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ratio {
    /// ν^ε
    Epsilon,
    /// ν^r
    Reconstruction,
}

impl Ratio {
    /// Both, in the order of showing.
    pub(crate) const BOTH: [Self; 2] = [Self::Epsilon, Self::Reconstruction];

    /// Its symbol.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Epsilon => "ν^ε",
            Self::Reconstruction => "ν^r",
        }
    }

    /// What it tells, and its cut.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Epsilon => "what the base model’s error holds; chat-specific below 0.2",
            Self::Reconstruction => "what other latents write in base; chat-specific below 0.5",
        }
    }

    fn cut(self) -> f64 {
        match self {
            Self::Epsilon => NU_EPSILON_CUT,
            Self::Reconstruction => NU_R_CUT,
        }
    }

    fn of(self, group: &ScalingGroup) -> &RatioSummary {
        match self {
            Self::Epsilon => &group.nu_epsilon,
            Self::Reconstruction => &group.nu_r,
        }
    }
}

/// A group's style and its name as people say it.
fn group(name: &str) -> (&'static str, &str) {
    match name {
        "chat_only" => ("chat", "chat-only"),
        "shared" => ("shared", "shared"),
        "random_direction" => ("other", "random directions"),
        "random_latent" => ("other", "random latents"),
        name => ("other", name),
    }
}

/// The middle value and the middle half, in words.
fn middle(ratio: &RatioSummary) -> String {
    match ratio.quantiles.as_slice() {
        [_, low, median, high, _] => format!(
            "{} ({}–{})",
            fixed(*median, 2),
            fixed(*low, 2),
            fixed(*high, 2)
        ),
        _ => "–".into(),
    }
}

/// One row for each group: name, histogram with the cut, median and middle half.
pub(crate) fn picture(summary: &ScalingSummary, ratio: Ratio) -> String {
    let mut out = String::new();
    for of in &summary.groups {
        let (style, name) = group(&of.name);
        let values = ratio.of(of);
        let class = format!("ratio {style}");
        open(
            &mut out,
            "li",
            &[("class", &class), ("data-group", &of.name)],
        );
        open(&mut out, "span", &[]);
        worded(&mut out, "b", &[], name);
        let counted = if of.reliable == of.latents {
            count(of.latents)
        } else {
            format!("{} of {}", count(of.reliable), count(of.latents))
        };
        worded(&mut out, "span", &[("class", "small quiet")], &counted);
        close(&mut out, "span");
        open(
            &mut out,
            "span",
            &[("class", "track"), ("aria-hidden", "true")],
        );
        bars(&mut out, values);
        let edges = &values.histogram.edges;
        let mut line = |class: &str, at: f64, to: f64| {
            let left = share(place(edges, at));
            let width = share(place(edges, to) - place(edges, at));
            let style = format!("left:{left};width:{width}");
            leaf(&mut out, "u", &[("class", class), ("data-style", &style)]);
        };
        if edges.len() > 1 {
            line("cut", ratio.cut(), ratio.cut());
        }
        if let [_, low, median, high, _] = values.quantiles.as_slice() {
            line("half", *low, *high);
            line("median", *median, *median);
        }
        close(&mut out, "span");
        worded(&mut out, "span", &[("class", "num small")], &middle(values));
        close(&mut out, "li");
    }
    let first = summary
        .groups
        .iter()
        .map(|of| &ratio.of(of).histogram.edges);
    if let Some(edges) = first.into_iter().find(|edges| edges.len() > 1) {
        axis(&mut out, edges);
    }
    out
}

/// The values of the axis, once below all rows.
fn axis(out: &mut String, edges: &[f64]) {
    open(
        out,
        "li",
        &[("class", "ratio axis"), ("aria-hidden", "true")],
    );
    leaf(out, "span", &[]);
    open(out, "span", &[]);
    for value in [0.0, 0.5, 1.0, 1.5, 2.0] {
        let style = format!("left:{}", share(place(edges, value)));
        worded(out, "i", &[("data-style", &style)], &tick(value));
    }
    close(out, "span");
    close(out, "li");
}

fn bars(out: &mut String, ratio: &RatioSummary) {
    let histogram = &ratio.histogram;
    let most = histogram.counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let view = [("viewBox", "0 0 1 1"), ("preserveAspectRatio", "none")];
    open(out, "svg", &view);
    let bins = histogram.edges.windows(2).zip(&histogram.counts);
    for (bin, n) in bins.filter(|(_, n)| **n > 0) {
        if let [from, to] = bin {
            let (x, height) = (place(&histogram.edges, *from), *n as f64 / most);
            let width = place(&histogram.edges, *to) - x;
            rect(out, "bar-rect", [x, 1.0 - height, width, height]);
        }
    }
    close(out, "svg");
}

/// Every group's quantiles of both ratios.
pub(crate) fn table(summary: &ScalingSummary) -> String {
    let mut out = String::new();
    open(&mut out, "table", &[("class", "rows small")]);
    let columns = [
        "Group", "ratio", "2.5 %", "25 %", "median", "75 %", "97.5 %", "latents",
    ];
    head(&mut out, &columns.map(|name| (name, "")));
    for of in &summary.groups {
        for ratio in Ratio::BOTH {
            open(&mut out, "tr", &[]);
            worded(&mut out, "th", &[("scope", "row")], group(&of.name).1);
            worded(&mut out, "td", &[], ratio.name());
            let quantiles = &ratio.of(of).quantiles;
            for i in 0..5 {
                let value = quantiles.get(i).map_or("–".into(), |x| fixed(*x, 3));
                worded(&mut out, "td", &[], &value);
            }
            worded(&mut out, "td", &[], &count(of.reliable));
            close(&mut out, "tr");
        }
    }
    close(&mut out, "table");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::Histogram;

    fn summary() -> ScalingSummary {
        let ratio = |median: f64| RatioSummary {
            quantiles: vec![-0.1, median - 0.1, median, median + 0.1, 1.0],
            histogram: Histogram {
                edges: vec![-0.1, 0.6, 1.3, 2.0],
                counts: vec![4, 0, 1],
            },
        };
        ScalingSummary {
            tokens: Some(9),
            groups: vec![
                ScalingGroup {
                    name: "chat_only".into(),
                    latents: 6,
                    reliable: 5,
                    nu_epsilon: ratio(0.2),
                    nu_r: ratio(0.4),
                },
                ScalingGroup {
                    name: "random_latent".into(),
                    ..ScalingGroup::default()
                },
            ],
        }
    }

    #[test]
    fn every_group_is_a_row_on_one_axis() {
        let picture = picture(&summary(), Ratio::Epsilon);
        assert_eq!(picture.matches("<li").count(), 3, "two groups and the axis");
        assert_eq!(
            picture.matches("<rect").count(),
            2,
            "empty bins and groups draw nothing"
        );
        assert!(
            picture.contains("x=\"0.6667\" y=\"0.7500\" width=\"0.3333\" height=\"0.2500\""),
            "{picture}"
        );
        assert!(
            picture.contains("class=\"cut\" data-style=\"left:14.29%;width:0.00%\""),
            "{picture}"
        );
        assert!(picture.contains("0.20 (0.10–0.30)") && picture.contains("5 of 6"));
    }

    #[test]
    fn the_table_has_both_ratios() {
        let table = table(&summary());
        assert_eq!(table.matches("<tr>").count(), 5);
        assert!(table.contains("<td>0.400</td>") && table.contains("random latents"));
    }
}
