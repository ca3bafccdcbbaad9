//! Causal effects of several dictionaries as bars side by side, with intervals and values.

use std::sync::Arc;

use api::{CausalEffects, CausalMeasure, CausalMetric, CausalScope, CausalSetup};

use super::{
    decimal::share,
    markup::{close, head, leaf, open, text, worded},
    numbers::{count, fixed},
};

/// A dictionary's slug and its results.
pub(crate) type Results = [(String, Arc<CausalEffects>)];

/// What writes the results of a scope and a metric as markup.
pub(crate) type Draw = fn(&Results, CausalScope, CausalMetric) -> String;

/// A bar: a dictionary's value of one setup.
#[derive(Clone, Debug, PartialEq)]
struct Bar<'a> {
    dictionary: usize,
    setup: &'a CausalSetup,
    measure: &'a CausalMeasure,
}

/// The name of a setup as people say it.
fn title(name: &str) -> String {
    let known = match name {
        "none" => "None",
        "all" => "All latents",
        "error" => "Error",
        "template" => "Template tokens",
        "chat_only" => "Chat-only latents",
        "delta_norm_best" => "Δ_norm, best half",
        "delta_norm_worst" => "Δ_norm, worst half",
        "scaling_best" => "Latent Scaling, best half",
        "scaling_worst" => "Latent Scaling, worst half",
        "random_chat_only" => "Random chat-only latents",
        "random_any" => "Random latents",
        "base" => "Base model",
        "chat" => "Chat model",
        "chat_to_base" => "Chat into base",
        "template_base" => "Template tokens, into base",
        other => return other.replace('_', " "),
    };
    known.to_owned()
}

/// Bars by setup, in the order in which the first dictionary that has them shows them.
fn groups(results: &Results, scope: CausalScope, metric: CausalMetric) -> Vec<Vec<Bar<'_>>> {
    let mut groups: Vec<Vec<Bar<'_>>> = Vec::new();
    for (dictionary, (_, effects)) in results.iter().enumerate() {
        for setup in &effects.setups {
            let wanted = |m: &&CausalMeasure| m.scope == scope && m.metric == metric;
            let Some(measure) = setup.measures.iter().find(wanted) else {
                continue;
            };
            let bar = Bar {
                dictionary,
                setup,
                measure,
            };
            let same = |group: &&mut Vec<Bar<'_>>| {
                group.first().is_some_and(|b| b.setup.name == setup.name)
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push(bar),
                None => groups.push(vec![bar]),
            }
        }
    }
    groups
}

/// The end of the axis: the largest upper end of an interval.
fn largest(groups: &[Vec<Bar<'_>>]) -> f64 {
    let upper = |bar: &Bar<'_>| bar.measure.mean + bar.measure.half_width.unwrap_or(0.0);
    let largest = groups.iter().flatten().map(upper).fold(0.0, f64::max);
    if largest > 0.0 { largest } else { 1.0 }
}

/// Mean and half the interval's width, in words.
fn value(measure: &CausalMeasure) -> String {
    let mean = fixed(measure.mean, 4);
    match measure.half_width {
        Some(half) => format!("{mean} ± {}", fixed(half, 4)),
        None => mean,
    }
}

/// Which latents a setup moves.
fn moved(setup: &CausalSetup) -> String {
    let latents = setup.latents.map(|n| format!("{} latents", count(n)));
    let sets = (setup.sets > 1).then(|| format!("{} random sets", count(setup.sets)));
    let words: Vec<String> = latents.into_iter().chain(sets).collect();
    words.join(", ")
}

/// The bars: one group for each setup, one bar for each dictionary.
pub(crate) fn picture(results: &Results, scope: CausalScope, metric: CausalMetric) -> String {
    let groups = groups(results, scope, metric);
    let end = largest(&groups);
    let mut out = String::new();
    for group in &groups {
        let Some(first) = group.first() else { continue };
        open(&mut out, "li", &[("data-setup", &first.setup.name)]);
        open(&mut out, "div", &[]);
        worded(&mut out, "b", &[], &title(&first.setup.name));
        worded(
            &mut out,
            "p",
            &[("class", "small quiet")],
            &first.setup.description,
        );
        close(&mut out, "div");
        open(&mut out, "div", &[("class", "bars")]);
        for bar in group {
            let (mean, half) = (bar.measure.mean, bar.measure.half_width.unwrap_or(0.0));
            let place = |x: f64| share((x / end).clamp(0.0, 1.0));
            let low = (mean - half).max(0.0);
            let who = results.get(bar.dictionary).map_or("", |(slug, _)| slug);
            let class = format!("effect series-{}", bar.dictionary % 4);
            open(
                &mut out,
                "div",
                &[("class", &class), ("title", &moved(bar.setup))],
            );
            worded(&mut out, "span", &[("class", "who small")], who);
            open(
                &mut out,
                "span",
                &[("class", "track"), ("aria-hidden", "true")],
            );
            let bar_style = format!("width:{}", place(mean));
            leaf(&mut out, "b", &[("data-style", &bar_style)]);
            if half > 0.0 {
                let width = share(((mean + half - low) / end).clamp(0.0, 1.0));
                let style = format!("left:{};width:{width}", place(low));
                leaf(&mut out, "u", &[("data-style", &style)]);
            }
            close(&mut out, "span");
            worded(
                &mut out,
                "span",
                &[("class", "num small")],
                &value(bar.measure),
            );
            close(&mut out, "div");
        }
        close(&mut out, "div");
        close(&mut out, "li");
    }
    out
}

/// The same numbers as a table, with what the bars do not show.
pub(crate) fn table(results: &Results, scope: CausalScope, metric: CausalMetric) -> String {
    let mut out = String::new();
    open(&mut out, "table", &[("class", "rows small")]);
    let columns = [
        ("Setup", "l"),
        ("Dictionary", "l"),
        ("mean", ""),
        ("± 95 %", ""),
        ("tokens", ""),
        ("latents", ""),
        ("sets", ""),
    ];
    head(&mut out, &columns);
    for bar in groups(results, scope, metric).iter().flatten() {
        open(&mut out, "tr", &[]);
        open(&mut out, "th", &[("scope", "row"), ("class", "l")]);
        text(&mut out, &title(&bar.setup.name));
        close(&mut out, "th");
        let who = results.get(bar.dictionary).map_or("", |(slug, _)| slug);
        worded(&mut out, "td", &[("class", "l")], who);
        let half = bar.measure.half_width;
        for words in [
            fixed(bar.measure.mean, 6),
            half.map_or("–".into(), |x| fixed(x, 6)),
            count(bar.measure.count),
            bar.setup.latents.map_or("–".into(), count),
            count(bar.setup.sets),
        ] {
            worded(&mut out, "td", &[], &words);
        }
        close(&mut out, "tr");
    }
    close(&mut out, "table");
    out
}

/// What the results rest on.
pub(crate) fn basis(results: &Results) -> String {
    let basis = |(slug, effects): &(String, Arc<CausalEffects>)| {
        let candidates = count(effects.candidates);
        format!("{slug}: {}, {candidates} candidate latents", effects.source)
    };
    let all: Vec<String> = results.iter().map(basis).collect();
    all.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(scope: CausalScope, mean: f64, half_width: Option<f64>) -> CausalMeasure {
        CausalMeasure {
            scope,
            metric: CausalMetric::KlFromChat,
            mean,
            variance: half_width.map(|_| 1.0),
            count: 1200,
            half_width,
        }
    }

    fn setup(name: &str, mean: f64) -> CausalSetup {
        CausalSetup {
            name: name.into(),
            description: "moves <some>".into(),
            latents: Some(1024),
            sets: 5,
            measures: vec![
                measure(CausalScope::All, mean, Some(0.1)),
                measure(CausalScope::First, 2.0 * mean, None),
            ],
        }
    }

    fn results() -> Vec<(String, Arc<CausalEffects>)> {
        let effects = |names: &[(&str, f64)]| {
            Arc::new(CausalEffects {
                dialogues: 12,
                source: "12 held-out dialogues".into(),
                candidates: 40,
                setups: names
                    .iter()
                    .map(|(name, mean)| setup(name, *mean))
                    .collect(),
            })
        };
        vec![
            ("batchtopk".into(), effects(&[("none", 0.9), ("all", 0.2)])),
            ("l1".into(), effects(&[("all", 0.4), ("error", 0.05)])),
        ]
    }

    #[test]
    fn dictionaries_stand_beside_each_other() {
        let results = results();
        let groups = groups(&results, CausalScope::All, CausalMetric::KlFromChat);
        let names: Vec<(&str, usize)> = groups
            .iter()
            .map(|g| (g[0].setup.name.as_str(), g.len()))
            .collect();
        assert_eq!(names, [("none", 1), ("all", 2), ("error", 1)]);
        assert!((largest(&groups) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn bars_have_lengths_intervals_and_words() {
        let picture = picture(&results(), CausalScope::All, CausalMetric::KlFromChat);
        assert!(
            picture.contains("<b data-style=\"width:90.00%\">"),
            "{picture}"
        );
        assert!(
            picture.contains("<u data-style=\"left:80.00%;width:20.00%\">"),
            "{picture}"
        );
        // An interval that reaches below zero is cut there.
        assert!(
            picture.contains("<u data-style=\"left:0.00%;width:15.00%\">"),
            "{picture}"
        );
        assert!(picture.contains("0.2000 ± 0.1000") && picture.contains("moves &lt;some&gt;"));
        assert!(picture.contains("title=\"1,024 latents, 5 random sets\""));
        assert!(picture.contains("effect series-1"));
    }

    #[test]
    fn another_scope_is_another_picture() {
        let first = picture(&results(), CausalScope::First, CausalMetric::KlFromChat);
        assert!(
            first.contains("1.8000<") && !first.contains("<u"),
            "{first}"
        );
        assert_eq!(
            picture(&results(), CausalScope::Rest, CausalMetric::KlFromChat),
            ""
        );
        assert_eq!(
            picture(&results(), CausalScope::All, CausalMetric::Loss),
            ""
        );
    }

    #[test]
    fn the_table_says_what_the_bars_say() {
        let table = table(&results(), CausalScope::All, CausalMetric::KlFromChat);
        assert_eq!(table.matches("<tr>").count(), 1 + 4);
        assert!(
            table.contains(
                "<td>0.400000</td><td>0.100000</td><td>1,200</td><td>1,024</td><td>5</td>"
            ),
            "{table}"
        );
        assert!(basis(&results()).starts_with("batchtopk: 12 held-out dialogues, 40 candidate"));
    }
}
