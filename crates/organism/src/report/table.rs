//! The report as text.

use std::fmt;

use pipeline::{
    Bar, CausalEffects, CausalMetric, CausalScope, ClassCounts, ConceptTruth, LatentTruth,
    SeedScore, SteeringAction, SteeringOutcome, SteeringTest,
};

use super::{DictionaryReport, Report};
use crate::provenance::numbers;

/// What is asked and whether it is met; empty where nothing is asked.
fn verdict(bar: Option<Bar>, met: Option<bool>) -> String {
    let asked = match bar {
        Some(Bar::AtLeast(bar)) => format!("≥ {bar:.2}"),
        Some(Bar::AtMost(bar)) => format!("≤ {bar:.2}"),
        None => return String::new(),
    };
    let word = if met == Some(true) { "met" } else { "missed" };
    format!("{asked} {word}")
}

fn cell(best: Option<&LatentTruth>) -> String {
    best.map_or_else(
        || format!("{:>31}", "none"),
        |best| {
            let precision = best
                .precision
                .map_or("-".to_owned(), |share| format!("{share:.3}"));
            format!(
                "{:>6.3} {:>6.3} {precision:>9}  #{:<6}",
                best.auroc, best.delta_norm, best.latent
            )
        },
    )
}

/// From the lowest to the highest AUROC above the cut, this dictionary and the further seeds.
fn spread(concept: &ConceptTruth) -> String {
    let score = |seed: &SeedScore| seed.above_cut.as_ref().map(|best| best.auroc);
    let own = concept.above_cut.as_ref().map(|best| best.auroc);
    let all: Vec<f64> = std::iter::once(own)
        .chain(concept.seeds.iter().map(score))
        .map(|auroc| auroc.unwrap_or(0.0))
        .collect();
    if concept.seeds.is_empty() {
        return String::new();
    }
    let lowest = all.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = all.iter().copied().fold(0.0, f64::max);
    format!("{lowest:.3}–{highest:.3}")
}

fn action(test: &SteeringTest) -> String {
    let size = test.sets.first().map_or(0, Vec::len);
    let name = match test.action {
        SteeringAction::Scale => "scale",
        SteeringAction::Add => "add",
    };
    let whose = match (test.control, test.above_cut) {
        (true, _) => "random ones",
        (false, true) => "above the cut",
        (false, false) => "of any class",
    };
    format!("{name} {size} {whose}")
}

fn outcome(outcome: SteeringOutcome) -> &'static str {
    match outcome {
        SteeringOutcome::Refuses => "refused",
        SteeringOutcome::Unchanged => "unchanged",
        SteeringOutcome::Corrects => "corrected",
        SteeringOutcome::Confirms => "confirmed",
    }
}

fn doses(test: &SteeringTest) -> String {
    let shown = test.doses.iter().map(|dose| {
        let mark = if dose.dose == test.chosen { "*" } else { "" };
        format!("{}{mark}: {:.2}", dose.dose, dose.share)
    });
    shown.collect::<Vec<_>>().join("  ")
}

/// How many latents of each class there are, and what Latent Scaling says of the chat-only ones.
fn counts(counts: &ClassCounts) -> String {
    let list = |all: Vec<String>| all.join(", ");
    let classes = counts
        .classes
        .iter()
        .map(|(class, count)| format!("{count} {}", class.as_str()));
    let verdicts = counts
        .verdicts
        .iter()
        .map(|(verdict, count)| format!("{count} {}", verdict.as_str()));
    format!(
        "latents: {}; of the chat-only ones Latent Scaling finds {}",
        list(classes.collect()),
        list(verdicts.collect())
    )
}

fn effects(f: &mut fmt::Formatter<'_>, effects: &CausalEffects) -> fmt::Result {
    if effects.setups.is_empty() {
        return Ok(());
    }
    writeln!(
        f,
        "\nKL from the chat model over {} dialogues, nats per answer token (all, first nine)",
        effects.dialogues
    )?;
    for setup in &effects.setups {
        let mean = |scope| {
            let found = setup.measure(scope, CausalMetric::KlFromChat);
            found.map_or("-".to_owned(), |measure| format!("{:.3}", measure.mean))
        };
        writeln!(
            f,
            "  {:<20} {:>7} {:>7}  {}",
            setup.name,
            mean(CausalScope::All),
            mean(CausalScope::First),
            setup.description
        )?;
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} pair, seed {}: answers to held-out prompts, judged by the world's grammar",
            self.preset, self.seed
        )?;
        writeln!(
            f,
            "{:<28} {:>7} {:>7} {:>7} {:>8} {:>7}  asked of chat",
            "concept", "prompts", "chat", "exact", "refuses", "base"
        )?;
        for row in &self.behaviours {
            let name = if row.never_seen {
                format!("{}, never seen", row.concept)
            } else {
                row.concept.clone()
            };
            writeln!(
                f,
                "{name:<28} {:>7} {:>7.3} {:>7.3} {:>8.3} {:>7.3}  {}",
                row.prompts,
                row.chat,
                row.chat_exact,
                row.chat_refuses,
                row.base,
                verdict(row.bar, row.bar.map(|bar| bar.met(row.chat)))
            )?;
        }
        self.dictionaries
            .iter()
            .try_for_each(|dictionary| write!(f, "{dictionary}"))
    }
}

impl fmt::Display for DictionaryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let truth = &self.truth;
        writeln!(f, "\ndictionary {}", truth.dictionary)?;
        if let Some(training) = &self.training {
            writeln!(f, "{}", numbers(training))?;
        }
        writeln!(f, "{}", counts(&self.counts))?;
        for seed in &truth.seeds {
            writeln!(
                f,
                "from seed {}: {} live latents above the cut, variance explained {:.3} (base), {:.3} (chat)",
                seed.seed, seed.chat_only, seed.fve[0], seed.fve[1]
            )?;
        }
        writeln!(
            f,
            "{} live latents above the cut of Δ_norm {}; each latent and threshold chosen on one half of the prompts, numbers of the other half",
            truth.chat_only, truth.cut
        )?;
        let columns = "AUROC Δ_norm precision  latent";
        writeln!(
            f,
            "{:<30} {:<38} {:>31}  {:>31}  {:<12} asked above the cut",
            "concept", "against", "best above the cut", "best of any class", "seeds"
        )?;
        writeln!(f, "{:<30} {:<38} {columns:>31}  {columns:>31}", "", "")?;
        for row in &truth.concepts {
            writeln!(
                f,
                "{:<30} {:<38} {}  {}  {:<12} {}",
                row.concept,
                row.against,
                cell(row.above_cut.as_ref()),
                cell(row.any_class.as_ref()),
                spread(row),
                verdict(row.bar, row.met())
            )?;
        }
        if !self.labels.is_empty() {
            writeln!(f, "\nlatents named by these scores:")?;
        }
        for (latent, label) in &self.labels {
            writeln!(f, "  #{latent:<6} {label}")?;
        }
        if !truth.steering.is_empty() {
            writeln!(
                f,
                "\nsteered answers: share of the prompts by dose, * the dose chosen on the other half"
            )?;
        }
        for test in &truth.steering {
            writeln!(
                f,
                "  {:<16} {:<26} {:<32} {:>4} {:<10} {:>5.2}  {:<44} {}",
                test.concept,
                action(test),
                test.prompts,
                test.count,
                outcome(test.outcome),
                test.undisturbed,
                doses(test),
                verdict(test.bar, test.met())
            )?;
            for set in test.sets.iter().filter(|_| !test.control) {
                writeln!(f, "  {:<16} latents {set:?}", "")?;
            }
        }
        effects(f, &self.effects)
    }
}
