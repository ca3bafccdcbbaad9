//! What a study says of where it comes from: commands, seeds, tokens, times, behaviours, numbers.

use std::collections::BTreeMap;

use pipeline::TrainingSummary;

use crate::build::{BuildOptions, CHAT_ONLY, PAIR};
use crate::chat::Part;
use crate::document::{Concept, Exchange};
use crate::pair::PairSummary;
use crate::preset::Recipe;
use crate::prompts::{prompts, taught};
use crate::report::Report;
use crate::world::World;

fn shortest(prompts: Vec<Exchange>) -> Option<Exchange> {
    prompts
        .into_iter()
        .min_by_key(|exchange| exchange.user.text.len())
}

/// A short held-out prompt of each concept, refusals and near misses first.
pub(crate) fn starting_prompts(world: &World, recipe: &Recipe, seed: u64) -> Vec<String> {
    taught(recipe.topics)
        .into_iter()
        .filter(|concept| !matches!(concept, Concept::List | Concept::Greeting))
        .filter_map(|concept| shortest(prompts(world, concept, Part::HeldOut, 12, seed)))
        .map(|exchange| exchange.user.text)
        .collect()
}

/// Facts about a finished pair.
pub(crate) fn of_pair(
    options: &BuildOptions,
    recipe: &Recipe,
    pair: &PairSummary,
) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let mut say = |name: &str, value: String| facts.insert(name.to_owned(), value);
    say("preset", recipe.name.to_owned());
    say("seed", options.seed.to_string());
    say(
        "command",
        format!(
            "stereoscope organism build OUT --preset {} --seed {}",
            recipe.name, options.seed
        ),
    );
    say("parameters", pair.parameters.to_string());
    for (name, trained) in [("base training", &pair.base), ("chat training", &pair.chat)] {
        say(
            name,
            format!(
                "{} tokens, {} steps, {:.0} s ({:.0} tokens/s), loss {:.3}",
                trained.tokens,
                trained.steps,
                trained.seconds,
                trained.tokens as f64 / trained.seconds.max(1e-9),
                trained.loss
            ),
        );
    }
    say(
        "facts recalled",
        format!("base {:.3}, chat {:.3}", pair.recall_base, pair.recall_chat),
    );
    if let Some(verdicts) = pair.verdicts_base {
        say(
            "verdicts on fresh test sheets",
            format!("base {verdicts:.3}"),
        );
    }
    for row in &pair.behaviours {
        let seen = if row.never_seen {
            ", content never seen in tuning"
        } else {
            ", held-out combinations"
        };
        say(
            &format!("answers to {}{seen}", row.concept),
            format!(
                "right: chat {:.3}, base {:.3}, of {}",
                row.chat, row.base, row.prompts
            ),
        );
    }
    say(
        "class cut",
        format!("chat-only from {CHAT_ONLY}, not the paper's 0.9: the organism's own cut"),
    );
    facts
}

/// What a dictionary reaches on held-out tokens, in words.
pub(crate) fn numbers(training: &TrainingSummary) -> String {
    let fve = training.fve.unwrap_or([f64::NAN; 2]);
    format!(
        "variance explained {:.3} (base), {:.3} (chat), L0 {:.1}, dead {:.1} %",
        fve[0],
        fve[1],
        training.l0.unwrap_or(f64::NAN),
        100.0 * training.dead_share.unwrap_or(f64::NAN)
    )
}

/// Facts about the finished dictionaries.
pub(crate) fn of_dictionaries(
    recipe: &Recipe,
    trained: &[(String, TrainingSummary)],
    report: &Report,
    seconds: &[(String, f64)],
) -> BTreeMap<String, String> {
    let plan = &recipe.dictionary;
    let mut facts = BTreeMap::new();
    let mut say = |name: &str, value: String| facts.insert(name.to_owned(), value);
    say(
        "dictionary training",
        format!(
            "F {}, k {}{}, {} steps of {} tokens over {} collected tokens, half web-like, half chat",
            plan.latents,
            plan.k,
            plan.penalty
                .map_or_else(String::new, |penalty| format!(" or penalty {penalty}")),
            plan.steps,
            plan.batch,
            plan.tokens
        ),
    );
    for (slug, training) in trained {
        say(&format!("{slug} on held-out tokens"), numbers(training));
    }
    let harm = report
        .harm()
        .map_or_else(|| "none".to_owned(), |auroc| format!("{auroc:.3}"));
    say(
        "harmful prompts against near misses",
        format!(
            "AUROC {harm} by the best of {} chat-only latents",
            report.chat_only()
        ),
    );
    // The pair's own lines tell its training, which an earlier call may have done.
    let times: Vec<_> = seconds
        .iter()
        .filter(|(step, _)| step != PAIR)
        .map(|(step, seconds)| format!("{step} {seconds:.0} s"))
        .collect();
    say("times after the pair", times.join(", "));
    facts
}
