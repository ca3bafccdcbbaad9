//! What steering does to answers by dose: one small chart for each test, with its control.

use api::{Positions, SteeringAction, SteeringOutcome, SteeringTest};

use super::{
    behaviours::{self, plain},
    decimal::share,
    markup::{at, fill},
    numbers::{count, percent, tick},
    scale::largest_first,
};

/// A test and the control beside it.
pub(crate) type Pair<'a> = (&'a SteeringTest, Option<&'a SteeringTest>);

/// Every test with its control: the next one that differs in nothing but the latents.
pub(crate) fn pairs(tests: &[SteeringTest]) -> Vec<Pair<'_>> {
    let control = |i: usize, of: &SteeringTest| {
        let same = |other: &&SteeringTest| {
            other.control
                && (&other.concept, &other.prompts, &other.positions)
                    == (&of.concept, &of.prompts, &of.positions)
                && (other.action, other.outcome) == (of.action, of.outcome)
        };
        tests.iter().skip(i + 1).find(same)
    };
    let steered = tests.iter().enumerate().filter(|(_, of)| !of.control);
    steered.map(|(i, of)| (of, control(i, of))).collect()
}

/// The dose at which nothing is done.
fn neutral(action: SteeringAction) -> f64 {
    match action {
        SteeringAction::Scale => 1.0,
        SteeringAction::Add => 0.0,
    }
}

/// A dose in words.
pub(crate) fn dose_words(action: SteeringAction, dose: f32) -> String {
    let dose = tick(dose.into());
    match action {
        SteeringAction::Scale => format!("factor {dose}"),
        SteeringAction::Add => format!("{dose} maxima"),
    }
}

fn outcome_words(outcome: SteeringOutcome) -> &'static str {
    match outcome {
        SteeringOutcome::Refuses => "refused",
        SteeringOutcome::Unchanged => "answered as before",
        SteeringOutcome::Corrects => "corrected",
        SteeringOutcome::Confirms => "confirmed",
    }
}

fn positions_words(positions: &Positions) -> &'static str {
    match positions {
        Positions::All => "everywhere",
        Positions::Prompt => "in the prompt",
        Positions::Generated => "in the answer",
        Positions::Template => "at template tokens",
        Positions::Content => "at content tokens",
        Positions::FirstAnswer(_) => "at the answer’s first tokens",
        Positions::List(_) => "at some tokens",
    }
}

/// Which prompts, and what is counted.
pub(crate) fn title(of: &SteeringTest) -> String {
    format!("{}: share {}", of.prompts, outcome_words(of.outcome))
}

/// What is done to which latents, and where.
pub(crate) fn done(of: &SteeringTest) -> String {
    let latents = of.sets.first().map_or(0, Vec::len);
    let latents = if latents == 1 {
        "latent".into()
    } else {
        format!("{latents} latents")
    };
    let class = if of.above_cut { "" } else { " of any class" };
    let (concept, place) = (plain(&of.concept), positions_words(&of.positions));
    match of.action {
        SteeringAction::Scale => format!("the {latents}{class} for {concept} scaled {place}"),
        SteeringAction::Add => format!("the {latents}{class} for {concept} added {place}"),
    }
}

/// The result at the chosen dose, and the control's beside it.
pub(crate) fn result((of, control): Pair<'_>) -> [String; 2] {
    let shown = |share: Option<f64>| share.map_or("–".into(), percent);
    let dose = dose_words(of.action, of.chosen);
    let before = percent(of.undisturbed);
    let words = format!("{before} → {} at {dose}", shown(of.share()));
    let beside = control.map(|control| {
        let share = shown(control.share());
        format!("random latents: {share}, {}", demand(control))
    });
    [words, beside.unwrap_or_default()]
}

/// What was asked for, and whether it was reached.
fn asked(of: &SteeringTest) -> String {
    behaviours::asked(of.bar, of.met())
}

/// The same in a sentence, which says so where nothing was asked for.
pub(crate) fn demand(of: &SteeringTest) -> String {
    let asked = asked(of);
    if asked.is_empty() {
        "no share asked for".to_owned()
    } else {
        format!("asked for: {asked}")
    }
}

/// Doses and shares, the undisturbed answers among them, in the order of the axis.
fn points(of: &SteeringTest) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = of.doses.iter().map(|d| (d.dose.into(), d.share)).collect();
    let still = neutral(of.action);
    if points.iter().all(|p| p.0 != still) {
        points.push((still, of.undisturbed));
    }
    let keys: Vec<f64> = points.iter().map(|p| -p.0).collect();
    let order = largest_first(&keys).into_iter();
    order.filter_map(|i| points.get(i).copied()).collect()
}

/// The chart: shares between 0 and 1 over doses, the chosen dose and what is asked of it.
pub(crate) fn picture((of, control): Pair<'_>) -> String {
    let own = points(of);
    let others = control.map(points).unwrap_or_default();
    let doses = || own.iter().chain(&others).map(|p| p.0);
    let (low, high) = (
        doses().fold(f64::INFINITY, f64::min),
        doses().fold(f64::NEG_INFINITY, f64::max),
    );
    let place = |dose: f64| (dose - low) / (high - low).max(f64::MIN_POSITIVE);
    let mut out = String::from(
        "<div class=\"plot\"><div class=\"counts\"><span data-style=\"bottom:0\">0 %</span><span data-style=\"bottom:50%\">50 %</span>\
         <span data-style=\"bottom:100%\">100 %</span></div><div class=\"area\"><svg viewBox=\"0 0 1 1\" preserveAspectRatio=\"none\">\
         <path class=\"grid\" d=\"M0 0H1M0 .5H1M0 1H1\"/>",
    );
    if let Some(api::Bar::AtLeast(bar) | api::Bar::AtMost(bar)) = of.bar {
        let template = "<path class=\"asked\" d=\"M0 {}H1\"/>";
        fill(&mut out, template, &[&at(1.0 - bar)]);
    }
    let template = "<path class=\"at-dose\" d=\"M{} 0V1\"/>";
    fill(&mut out, template, &[&at(place(of.chosen.into()))]);
    let lines = [("control", &others), ("steered", &own)];
    for (class, points) in lines {
        let point =
            |&(dose, share): &(f64, f64)| format!("{},{}", at(place(dose)), at(1.0 - share));
        let points: Vec<String> = points.iter().map(point).collect();
        let template = "<polyline class=\"{}\" points=\"{}\"/>";
        fill(&mut out, template, &[class, &points.join(" ")]);
    }
    out.push_str("</svg>");
    for (class, points) in lines {
        for &(dose, value) in points {
            let template = "<i class=\"{}\" data-style=\"left:{};bottom:{}\"></i>";
            fill(
                &mut out,
                template,
                &[class, &share(place(dose)), &share(value)],
            );
        }
    }
    out.push_str("</div></div><div class=\"ticks\">");
    let named = [low, high, 0.0, neutral(of.action), of.chosen.into()];
    for (i, &dose) in named.iter().enumerate() {
        if named.iter().take(i).any(|before| *before == dose) {
            continue;
        }
        let x = place(dose);
        // A label too near to an end would lie on the end's own.
        let (ends, near) = (dose == low || dose == high, !(0.12..=0.88).contains(&x));
        if ends || !near {
            let (class, words) = match x {
                0.0 => ("start", dose_words(of.action, dose as f32)),
                1.0 => ("end", tick(dose)),
                _ => ("", tick(dose)),
            };
            let template = "<span class=\"{}\" data-style=\"left:{}\">{}</span>";
            fill(&mut out, template, &[class, &share(x), &words]);
        }
    }
    out.push_str("</div>");
    out
}

/// Every test's numbers.
pub(crate) fn table(tests: &[SteeringTest]) -> String {
    let mut out = String::from(
        "<table class=\"rows small\"><thead><tr><th scope=\"col\" class=\"l\">Prompts</th><th scope=\"col\" class=\"l\">Latents</th>\
         <th scope=\"col\">number</th><th scope=\"col\" class=\"l\">outcome</th><th scope=\"col\">undisturbed</th>\
         <th scope=\"col\">dose</th><th scope=\"col\">share</th><th scope=\"col\" class=\"l\">asked for</th></tr></thead>",
    );
    for of in tests {
        let mut latents = done(of);
        if of.control {
            latents = format!("{} random sets instead of {latents}", of.sets.len());
        }
        for dose in &of.doses {
            let asked = if dose.dose == of.chosen {
                asked(of)
            } else {
                String::new()
            };
            fill(
                &mut out,
                "<tr><th scope=\"row\" class=\"l\">{}</th><td class=\"l\">{}</td><td>{}</td><td class=\"l\">{}</td><td>{}</td>\
                 <td>{}</td><td>{}</td><td class=\"l\">{}</td></tr>",
                &[
                    &of.prompts,
                    &latents,
                    &count(of.count),
                    outcome_words(of.outcome),
                    &percent(of.undisturbed),
                    &tick(dose.dose.into()),
                    &percent(dose.share),
                    &asked,
                ],
            );
        }
    }
    out.push_str("</table>");
    out
}

#[cfg(test)]
mod tests {
    use api::{Bar, SteeringDose};

    use super::*;

    fn tests() -> Vec<SteeringTest> {
        let dose = |dose, share| SteeringDose { dose, share };
        let steered = SteeringTest {
            concept: "refusal".into(),
            action: SteeringAction::Scale,
            positions: Positions::All,
            control: false,
            above_cut: true,
            sets: vec![vec![3, 5]],
            prompts: "harmful requests".into(),
            prompt: None,
            answer: None,
            count: 40,
            outcome: SteeringOutcome::Refuses,
            undisturbed: 1.0,
            doses: vec![dose(0.0, 0.9), dose(-1.0, 0.05)],
            chosen: -1.0,
            bar: Some(Bar::AtMost(0.2)),
        };
        let control = SteeringTest {
            control: true,
            sets: vec![vec![7, 8], vec![9, 10]],
            above_cut: false,
            doses: vec![dose(-1.0, 0.975)],
            bar: Some(Bar::AtLeast(0.9)),
            ..steered.clone()
        };
        let other = SteeringTest {
            prompts: "benign".into(),
            ..steered.clone()
        };
        vec![steered, control, other]
    }

    #[test]
    fn a_control_stands_beside_its_test_alone() {
        let tests = tests();
        let pairs = pairs(&tests);
        assert_eq!(pairs.len(), 2);
        assert!(pairs[0].1.is_some_and(|c| c.control) && pairs[1].1.is_none());
        assert_eq!(
            result(pairs[0]),
            [
                "100 % → 5.0 % at factor −1",
                "random latents: 98 %, asked for: at least 90 % ✓ reached"
            ]
        );
        assert_eq!(result(pairs[1])[1], "");
        assert_eq!(asked(pairs[0].0), "at most 20 % ✓ reached");
        assert_eq!(
            done(pairs[0].0),
            "the 2 latents for refusal scaled everywhere"
        );
    }

    #[test]
    fn the_chart_reaches_from_the_strongest_dose_to_none() {
        let tests = tests();
        let picture = picture(pairs(&tests)[0]);
        assert!(
            picture.contains(
                "<polyline class=\"steered\" points=\"0.0000,0.9500 0.5000,0.1000 1.0000,0.0000\"/>"
            ),
            "{picture}"
        );
        assert!(
            picture
                .contains("<polyline class=\"control\" points=\"0.0000,0.0250 1.0000,0.0000\"/>")
        );
        assert!(picture.contains("class=\"asked\" d=\"M0 0.8000H1\""));
        assert!(picture.contains("class=\"end\" data-style=\"left:100.00%\">1<"));
        assert_eq!(picture.matches("<span class=\"end\"").count(), 1);
    }

    #[test]
    fn the_table_has_a_row_for_each_dose() {
        let table = table(&tests());
        assert_eq!(table.matches("<tr>").count(), 1 + 1 + 2 + 2);
        assert!(table.contains("2 random sets"));
    }
}
