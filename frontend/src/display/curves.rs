//! A training's curves as small charts above each other that share one axis of steps.

use api::TrainingCurves;

use super::{
    decimal::share,
    markup::{at, close, head, leaf, open, worded},
    numbers::{count, fixed, percent, rough, short, tick},
};

/// Points of a line at most; more steps are averaged.
const POINTS: usize = 240;

/// Rows of the table at most.
const ROWS: usize = 40;

/// What the charts show, from top to bottom.
const CHARTS: [&str; 4] = ["Loss", "Variance explained", "L0", "Dead latents"];

/// The chart whose axis reaches up to 1.
const FVE: usize = 1;

/// A curve by the name it has behind `train/` and `val/`.
struct Known {
    name: &'static str,
    chart: usize,
    style: &'static str,
    /// What it is called, in training and in validation.
    words: [&'static str; 2],
}

const fn known(
    name: &'static str,
    chart: usize,
    style: &'static str,
    words: [&'static str; 2],
) -> Known {
    Known {
        name,
        chart,
        style,
        words,
    }
}

const KNOWN: [Known; 5] = [
    known("loss", 0, "plain", ["loss", "loss, validation"]),
    known("fve_base", 1, "base", ["FVE base", "FVE base, validation"]),
    known("fve_chat", 1, "chat", ["FVE chat", "FVE chat, validation"]),
    known("l0", 2, "plain", ["L0", "L0, validation"]),
    known("dead_share", 3, "plain", ["dead", "dead, validation"]),
];

/// One line of a chart.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    chart: usize,
    style: &'static str,
    dashed: bool,
    /// What it is called, and its name without the stage.
    words: &'static str,
    name: &'static str,
    values: Vec<Option<f64>>,
}

/// Curves ready to be drawn and read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Training {
    steps: Vec<u64>,
    tokens: Vec<u64>,
    lines: Vec<Line>,
    /// Logged steps behind each point.
    averaged: usize,
}

impl Training {
    /// The curves worth showing, or `None` where nothing was logged.
    pub(crate) fn of(logged: &TrainingCurves) -> Option<Self> {
        let averaged = logged.steps.len().div_ceil(POINTS).max(1);
        let line = |known: &Known, validation: bool| {
            let stage = if validation { "val/" } else { "train/" };
            let curve = logged
                .curves
                .iter()
                .find(|c| c.name.strip_prefix(stage) == Some(known.name))?;
            let values: Vec<Option<f64>> = curve.values.chunks(averaged).map(mean).collect();
            values.iter().any(Option::is_some).then(|| Line {
                chart: known.chart,
                style: known.style,
                dashed: validation,
                words: known.words[usize::from(validation)],
                name: known.words[0],
                values,
            })
        };
        let lines: Vec<Line> = KNOWN
            .iter()
            .flat_map(|known| [line(known, false), line(known, true)])
            .flatten()
            .collect();
        let last = |list: &[u64]| {
            let ends = list.chunks(averaged).filter_map(<[u64]>::last);
            ends.copied().collect()
        };
        (!lines.is_empty() && logged.steps.len() > 1).then(|| Self {
            steps: last(&logged.steps),
            tokens: last(&logged.tokens),
            lines,
            averaged,
        })
    }

    /// Points on the axis.
    pub(crate) fn points(&self) -> usize {
        self.steps.len()
    }

    /// The point nearest to a place on the axis, 0…1.
    pub(crate) fn nearest(&self, place: f64) -> usize {
        let distance = |i: usize| (self.place(i) - place).abs();
        (0..self.points()).fold(0, |best, i| {
            if distance(i) < distance(best) {
                i
            } else {
                best
            }
        })
    }

    /// Where a point lies on the axis, 0…1.
    pub(crate) fn place(&self, i: usize) -> f64 {
        let step = |i: usize| self.steps.get(i).copied().unwrap_or(0) as f64;
        let (first, last) = (step(0), step(self.points().saturating_sub(1)));
        ((step(i) - first) / (last - first).max(1.0)).clamp(0.0, 1.0)
    }

    /// The step of a point, in words.
    pub(crate) fn step(&self, i: usize) -> String {
        let number = |list: &[u64]| list.get(i).copied().unwrap_or(0);
        let tokens = rough(number(&self.tokens));
        format!("step {} · {tokens} tokens", count(number(&self.steps)))
    }

    /// Names and values at a point.
    pub(crate) fn values(&self, i: usize) -> Vec<(&'static str, String)> {
        let value = |line: &Line| {
            let value = *line.values.get(i)?;
            Some((line.words, value_words(line.chart, value?)))
        };
        self.lines.iter().filter_map(value).collect()
    }

    /// What the curves end at, in a sentence.
    pub(crate) fn summary(&self) -> String {
        let last = |line: &Line| {
            let value = line.values.iter().rev().flatten().next()?;
            Some(value_words(line.chart, *value))
        };
        let end = |line: &Line| {
            let checked = |other: &&Line| other.dashed && other.name == line.name;
            let checked = self.lines.iter().find(checked).and_then(last);
            let checked = checked.map_or(String::new(), |v| format!(" (validation {v})"));
            Some(format!("{} {}{checked}", line.name, last(line)?))
        };
        let trained = self.lines.iter().filter(|line| !line.dashed);
        let ends: Vec<String> = trained.filter_map(end).collect();
        let steps = self.steps.last().copied().unwrap_or(0);
        let means = match self.averaged {
            1 => String::new(),
            n => format!(" Each point is the mean of {n} logged steps."),
        };
        format!("At step {}: {}.{means}", count(steps), ends.join(", "))
    }

    /// The charts.
    pub(crate) fn picture(&self) -> String {
        let mut out = String::new();
        for (chart, name) in CHARTS.iter().enumerate() {
            let lines: Vec<&Line> = self.lines.iter().filter(|l| l.chart == chart).collect();
            if lines.is_empty() {
                continue;
            }
            let (low, high) = bounds(&lines, if chart == FVE { 1.0 } else { 0.0 });
            let height = |value: f64| (value - low) / (high - low);
            open(&mut out, "div", &[("class", "line-chart")]);
            open(&mut out, "h4", &[]);
            worded(&mut out, "span", &[], name);
            let solid = lines.iter().filter(|line| !line.dashed);
            if solid.clone().count() > 1 {
                solid.for_each(|line| legend(&mut out, line.style, line.name));
            }
            if lines.iter().any(|line| line.dashed) {
                legend(&mut out, "plain dashed", "validation");
            }
            close(&mut out, "h4");
            open(&mut out, "div", &[("class", "plot")]);
            open(&mut out, "div", &[("class", "counts")]);
            let ticks = ticks(low, high);
            for &value in &ticks {
                let style = format!("bottom:{}", share(height(value)));
                worded(&mut out, "span", &[("data-style", &style)], &tick(value));
            }
            close(&mut out, "div");
            let view = [("viewBox", "0 0 1 1"), ("preserveAspectRatio", "none")];
            open(&mut out, "svg", &view);
            for &value in &ticks {
                let y = at(1.0 - height(value));
                let ends = [("x1", "0"), ("x2", "1"), ("y1", &*y), ("y2", &*y)];
                leaf(
                    &mut out,
                    "line",
                    &[[("class", "grid")].as_slice(), &ends].concat(),
                );
            }
            for line in lines {
                let point = |(i, value): (usize, &Option<f64>)| {
                    let y = 1.0 - height((*value)?);
                    Some(format!("{},{}", at(self.place(i)), at(y)))
                };
                let points: Vec<String> =
                    line.values.iter().enumerate().filter_map(point).collect();
                let class = format!("{}{}", line.style, if line.dashed { " dashed" } else { "" });
                let points = points.join(" ");
                leaf(
                    &mut out,
                    "polyline",
                    &[("class", &class), ("points", &points)],
                );
            }
            close(&mut out, "svg");
            close(&mut out, "div");
            close(&mut out, "div");
        }
        open(&mut out, "div", &[("class", "ticks")]);
        let last = self.points().saturating_sub(1);
        for (i, class) in [(0, "start"), (self.nearest(0.5), ""), (last, "end")] {
            let style = format!("left:{}", share(self.place(i)));
            let step = count(self.steps.get(i).copied().unwrap_or(0));
            let words = if i == last {
                format!("step {step}")
            } else {
                step
            };
            worded(
                &mut out,
                "span",
                &[("class", class), ("data-style", &style)],
                &words,
            );
        }
        close(&mut out, "div");
        out
    }

    /// The same numbers as a table; of many points, some.
    pub(crate) fn table(&self) -> String {
        let mut out = String::new();
        open(&mut out, "table", &[("class", "rows small")]);
        let names = self.lines.iter().map(|line| (line.words, ""));
        let columns: Vec<(&str, &str)> = [("step", ""), ("tokens", "")]
            .into_iter()
            .chain(names)
            .collect();
        head(&mut out, &columns);
        let every = self.points().div_ceil(ROWS).max(1);
        let last = self.points().saturating_sub(1);
        for i in (0..self.points()).filter(|i| i % every == 0 || *i == last) {
            open(&mut out, "tr", &[]);
            for list in [&self.steps, &self.tokens] {
                worded(
                    &mut out,
                    "td",
                    &[],
                    &count(list.get(i).copied().unwrap_or(0)),
                );
            }
            for line in &self.lines {
                let value = line.values.get(i).copied().flatten();
                let words = value.map_or("–".into(), |x| value_words(line.chart, x));
                worded(&mut out, "td", &[], &words);
            }
            close(&mut out, "tr");
        }
        close(&mut out, "table");
        out
    }
}

fn legend(out: &mut String, style: &str, words: &str) {
    open(out, "span", &[("class", &format!("stroke {style}"))]);
    leaf(out, "i", &[]);
    worded(out, "span", &[], words);
    close(out, "span");
}

fn value_words(chart: usize, value: f64) -> String {
    match chart {
        FVE => fixed(value, 3),
        2 => fixed(value, 1),
        3 => percent(value),
        _ => short(value),
    }
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let known = values.iter().flatten();
    let n = known.clone().count();
    (n > 0).then(|| known.sum::<f64>() / n as f64)
}

/// Ends of the vertical axis: zero is always on it, and so is `least`.
fn bounds(lines: &[&Line], least: f64) -> (f64, f64) {
    let values = lines.iter().flat_map(|line| line.values.iter().flatten());
    let (low, high) = values.fold((0.0f64, least), |(low, high), &x| (low.min(x), high.max(x)));
    if high > low {
        (low, high)
    } else {
        (low, low + 1.0)
    }
}

/// Two to four round values between the ends.
pub(crate) fn ticks(low: f64, high: f64) -> Vec<f64> {
    let least = (high - low) / 3.0;
    let unit = 10f64.powi(least.log10().floor() as i32);
    let step = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|n| n * unit >= least)
        .unwrap_or(10.0)
        * unit;
    let first = (low / step).ceil() as i64;
    (first..first + 4)
        .map(|n| n as f64 * step)
        .take_while(|value| *value <= high + step * 1e-9)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::Curve;

    fn logged(steps: u64) -> TrainingCurves {
        let curve = |name: &str, of: fn(u64) -> Option<f64>| Curve {
            name: name.into(),
            values: (0..steps).map(of).collect(),
        };
        TrainingCurves {
            steps: (0..steps).map(|i| 10 * i).collect(),
            tokens: (0..steps).map(|i| 1000 * (i + 1)).collect(),
            curves: vec![
                curve("train/fve_chat", |i| Some(1.0 - 1.0 / (i + 1) as f64)),
                curve("train/lr", |_| Some(1.0)),
                curve("train/loss", |i| Some(4.0 - i as f64)),
                curve("val/loss", |i| (i % 2 == 1).then_some(1.0)),
                curve("val/l0", |_| None),
            ],
        }
    }

    #[test]
    fn known_curves_are_shown_in_their_order() {
        let training = Training::of(&logged(5)).unwrap();
        let names: Vec<&str> = training.lines.iter().map(|l| l.words).collect();
        assert_eq!(names, ["loss", "loss, validation", "FVE chat"]);
        assert_eq!(training.step(3), "step 30 · 4,000 tokens");
        assert_eq!(
            training.values(3),
            [
                ("loss", "1.00".to_owned()),
                ("loss, validation", "1.00".into()),
                ("FVE chat", "0.750".into())
            ]
        );
        assert_eq!(
            training.values(2).len(),
            2,
            "nothing is invented where validation did not run"
        );
        assert_eq!(
            training.summary(),
            "At step 40: loss 0 (validation 1.00), FVE chat 0.800."
        );
        assert_eq!(Training::of(&TrainingCurves::default()), None);
    }

    #[test]
    fn the_axis_is_shared_and_read_both_ways() {
        let training = Training::of(&logged(5)).unwrap();
        assert_eq!(
            (training.place(0), training.place(2), training.place(4)),
            (0.0, 0.5, 1.0)
        );
        assert_eq!((training.nearest(0.3), training.nearest(2.0)), (1, 4));
        let picture = training.picture();
        assert!(
            picture.contains("points=\"0.0000,0.0000 0.2500,0.2500 "),
            "{picture}"
        );
        assert!(
            picture.contains("class=\"plain dashed\" points=\"0.2500,0.7500 0.7500,0.7500\""),
            "{picture}"
        );
        assert_eq!(
            picture.matches("<svg").count(),
            2,
            "charts without curves are left out"
        );
    }

    #[test]
    fn long_trainings_are_averaged() {
        let training = Training::of(&logged(481)).unwrap();
        assert_eq!(training.averaged, 3);
        assert_eq!(training.points(), 161);
        assert_eq!(training.steps.last(), Some(&4800));
        assert!(training.summary().ends_with("the mean of 3 logged steps."));
        assert!(training.table().matches("<tr>").count() <= ROWS + 2);
    }

    #[test]
    fn axes_have_round_values() {
        assert_eq!(ticks(0.0, 1.0), [0.0, 0.5, 1.0]);
        assert_eq!(ticks(0.0, 23.0), [0.0, 10.0, 20.0]);
        assert_eq!(ticks(-0.6, 0.9), [-0.5, 0.0, 0.5]);
        assert_eq!(ticks(0.0, 0.03), [0.0, 0.01, 0.02, 0.03]);
        assert_eq!(ticks(0.0, 0.15), [0.0, 0.05, 0.1, 0.15000000000000002]);
        let flat = Line {
            chart: 0,
            style: "",
            dashed: false,
            words: "",
            name: "",
            values: vec![Some(0.0)],
        };
        assert_eq!(bounds(&[&flat], 0.0), (0.0, 1.0));
    }
}
