//! Whether the latents that tell a concept also cause it: answers of the chat model while they are steered.

use std::collections::BTreeSet;
use std::path::Path;

use pipeline::{
    At, Bar, DeviceChoice, Edit, Positions, Progress, Steering, SteeringDose, SteeringOutcome,
    SteeringTest,
};

use super::asked::{Asked, Asking, Edits};
use super::cases::{Case, evenly, tokenizer};
use super::contrasts::Contrast;
use super::goals::{Goal, Way};
use super::search::{control, forward};
use super::tell::{Scored, live};
use crate::error::Result;
use crate::random::stream;
use crate::world::World;

/// Prompts of each sort that choose sets and doses, and that are reported.
const CHOOSING: usize = 32;
const REPORTED: usize = 100;
/// Latents of a set at most: taking a concept away may need all that carry it, putting it in should not.
const MOST_SCALED: usize = 12;
const MOST_ADDED: usize = 4;
/// Latents looked at per contrast.
const LOOKED_AT: usize = 10;
/// Log probability of an opening from which it is as good as gone.
const GONE: f64 = -4.0;
/// Random sets.
const DRAWS: u64 = 4;
/// A latent belongs to a concept from this AUROC on, and is not among random ones.
const BELONGS: f64 = 0.9;
/// A random latent for `scale` fires on at least this share of the prompts with the concept: others cannot change anything.
const ACTIVE: f64 = 0.1;
/// Shares asked: what may stay of a concept that is taken away, what must stay of other answers, how often it must show where it is put
/// in, and how much random latents may do.
const MOST_LEFT: f64 = 0.2;
const LEAST_UNCHANGED: f64 = 0.95;
const LEAST_CAUSED: f64 = 0.8;
const MOST_BY_CHANCE: f64 = 0.1;

/// Steers the latents of every concept that the prompts allow.
pub(super) fn tests(
    study: &Path,
    slug: &str,
    world: &World,
    scored: &Scored<'_>,
    contrasts: &[Contrast],
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<SteeringTest>> {
    let steering = Steering::open(study, slug, DeviceChoice::Cpu, progress)?;
    let tokenizer = tokenizer(study)?;
    let asking = Asking {
        steering: &steering,
        tokenizer: &tokenizer,
        world,
    };
    let goals = Goal::all(scored.cases);
    progress.start("steer", "concepts", goals.len() as u64);
    let mut tests = Vec::new();
    for (done, goal) in (1..).zip(&goals) {
        let run = Run {
            asking: &asking,
            scored,
            contrasts,
            goal,
            seed,
        };
        tests.extend(run.tests()?);
        progress.advance(done);
    }
    progress.finish();
    Ok(tests)
}

/// One concept.
struct Run<'a> {
    asking: &'a Asking<'a>,
    scored: &'a Scored<'a>,
    contrasts: &'a [Contrast],
    goal: &'a Goal,
    seed: u64,
}

/// A set of latents and what is done to it, as the validation half chose them.
struct Choice {
    way: Way,
    at: At,
    above_cut: bool,
    latents: Vec<u32>,
    dose: f32,
    /// Whether it does on the validation half what is asked.
    enough: bool,
}

/// Prompts of one half.
struct Half<'a> {
    present: Vec<Asked<'a>>,
    /// Those with the concept again, with the opening of what they should be answered instead.
    instead: Vec<Asked<'a>>,
    absent: Vec<Asked<'a>>,
    target: Vec<Asked<'a>>,
    beyond: Vec<Asked<'a>>,
}

impl<'a> Run<'a> {
    fn tests(&self) -> Result<Vec<SteeringTest>> {
        let choosing = self.half(true, CHOOSING)?;
        let mut choices = self.choose_first(&choosing, self.goal.taking)?;
        choices.extend(self.choose_first(&choosing, &[Way::Add])?);
        drop(choosing);
        let reported = self.half(false, REPORTED)?;
        let mut tests = Vec::new();
        for choice in &choices {
            tests.extend(self.test(choice, &reported)?);
        }
        Ok(tests)
    }

    /// The best choice of each way, by latents above the cut and then of any class, up to the first that does what is asked.
    fn choose_first(&self, half: &Half<'_>, ways: &[Way]) -> Result<Vec<Choice>> {
        let mut choices = Vec::new();
        for &way in ways {
            for above_cut in [true, false] {
                choices.extend(self.choose(half, way, above_cut)?);
                if choices.last().is_some_and(|choice| choice.enough) {
                    return Ok(choices);
                }
            }
        }
        Ok(choices)
    }

    fn half(&self, validation: bool, most: usize) -> Result<Half<'a>> {
        let cases = self.scored.cases;
        let ask = |places: &[usize]| {
            let half: Vec<usize> = places
                .iter()
                .copied()
                .filter(|&place| {
                    cases
                        .get(place)
                        .is_some_and(|case: &Case| case.validation == validation)
                })
                .collect();
            self.asking.ask(cases, &evenly(cases, &half, most))
        };
        let present = ask(&self.goal.present.1)?;
        let mut target = ask(&self.goal.target.1)?;
        self.asking
            .reopen(&mut target, &present, self.goal.outcome)?;
        let absent = ask(&self.goal.absent.1)?;
        let mut instead = Vec::new();
        if let Some(outcome) = self.goal.instead {
            instead = ask(&self.goal.present.1)?;
            self.asking.reopen(&mut instead, &absent, outcome)?;
        }
        Ok(Half {
            present,
            instead,
            absent,
            target,
            beyond: ask(&self.goal.beyond.1)?,
        })
    }

    fn edits(&self, way: Way, latents: &[u32], dose: f32, at: At) -> Result<[(Edit, At); 1]> {
        let edit = self.asking.steering.edit(way.action(), latents, dose)?;
        Ok([(edit, at)])
    }

    /// Latents that may carry the concept: the best of every contrast that asks for it.
    fn candidates(&self, pool: &[u32]) -> Vec<u32> {
        let asked = self
            .contrasts
            .iter()
            .filter(|contrast| self.goal.is_asked_by(contrast));
        let best = asked.flat_map(|contrast| {
            let ranked = self.scored.ranked(contrast, pool);
            ranked.into_iter().take(LOOKED_AT).map(|(latent, _)| latent)
        });
        best.collect::<BTreeSet<u32>>().into_iter().collect()
    }

    /// The set and the dose that do best on the validation half; none where there is no set that does anything.
    fn choose(&self, half: &Half<'_>, way: Way, above_cut: bool) -> Result<Option<Choice>> {
        let (live, chat_only) = live(self.scored.rows);
        let candidates = self.candidates(if above_cut { &chat_only } else { &live });
        let most = match way {
            Way::Scale => MOST_SCALED,
            Way::Subtract | Way::Add => MOST_ADDED,
        };
        let mut best: Option<(Choice, f64)> = None;
        for &at in self.goal.places(way) {
            let latents = forward(&candidates, most, |latents| {
                self.merit(half, way, latents, at)
            })?;
            if latents.is_empty() {
                continue;
            }
            for dose in self.goal.doses(way) {
                let edits = self.edits(way, &latents, dose, at)?;
                let (worth, enough) = self.worth(half, way, &edits)?;
                if best
                    .as_ref()
                    .is_none_or(|(known, most)| (enough, worth) > (known.enough, *most))
                {
                    let choice = Choice {
                        way,
                        at,
                        above_cut,
                        latents: latents.clone(),
                        dose,
                        enough,
                    };
                    best = Some((choice, worth));
                }
            }
        }
        Ok(best.map(|(choice, _)| choice))
    }

    /// How well a set does, by the log probability of answers' openings at a strong dose: a forward pass, not an answer.
    fn merit(&self, half: &Half<'_>, way: Way, latents: &[u32], at: At) -> Result<f64> {
        let dose = match way {
            Way::Scale => -1.0,
            Way::Subtract | Way::Add => self.goal.strong(way),
        };
        let edits = self.edits(way, latents, dose, at)?;
        // What is gone cannot go further, and what is broken is broken.
        let opens = |asked: &[Asked<'_>]| self.asking.opens(asked, &edits, GONE);
        match way {
            Way::Add => self.asking.opens(&half.target, &edits, f64::NEG_INFINITY),
            Way::Scale | Way::Subtract if half.instead.is_empty() => {
                Ok(opens(&half.absent)? - opens(&half.present)?)
            }
            Way::Scale | Way::Subtract => Ok(opens(&half.absent)? + opens(&half.instead)?),
        }
    }

    /// How well edits do by whole answers, and whether that is what is asked.
    fn worth(&self, half: &Half<'_>, way: Way, edits: &Edits) -> Result<(f64, bool)> {
        let share = |asked: &[Asked<'_>], outcome| -> Result<f64> {
            let shares = self.asking.shares(asked, edits, &[outcome])?;
            Ok(shares.first().copied().unwrap_or(0.0))
        };
        match way {
            Way::Scale | Way::Subtract => {
                let left = share(&half.present, self.goal.outcome)?;
                let unchanged = share(&half.absent, SteeringOutcome::Unchanged)?;
                let instead = match self.goal.instead {
                    Some(outcome) => share(&half.present, outcome)?,
                    None => 1.0,
                };
                let enough =
                    left <= MOST_LEFT && unchanged >= LEAST_UNCHANGED && instead >= 1.0 - MOST_LEFT;
                Ok((unchanged - left + instead, enough))
            }
            Way::Add => {
                let caused = share(&half.target, self.goal.outcome)?;
                Ok((caused, caused >= LEAST_CAUSED))
            }
        }
    }

    /// What a choice does on the reported half, and what random latents do in its place.
    fn test(&self, choice: &Choice, half: &Half<'_>) -> Result<Vec<SteeringTest>> {
        let goal = self.goal;
        let controls = self.controls(choice);
        let own = [choice.latents.clone()];
        let mut tests = Vec::new();
        let mut on = |asked: &[Asked<'_>],
                      name,
                      sets: &[Vec<u32>],
                      control,
                      wanted: &[(SteeringOutcome, Option<Bar>)]|
         -> Result<()> {
            if asked.is_empty() || sets.is_empty() || sets.iter().any(Vec::is_empty) {
                return Ok(());
            }
            tests.extend(self.curves(choice, asked, name, sets, control, wanted)?);
            Ok(())
        };
        match choice.way {
            Way::Scale | Way::Subtract => {
                let mut wanted = vec![(goal.outcome, Some(Bar::AtMost(MOST_LEFT)))];
                wanted.extend(
                    goal.instead
                        .map(|instead| (instead, Some(Bar::AtLeast(1.0 - MOST_LEFT)))),
                );
                on(&half.present, goal.present.0, &own, false, &wanted)?;
                on(
                    &half.absent,
                    goal.absent.0,
                    &own,
                    false,
                    &[(
                        SteeringOutcome::Unchanged,
                        Some(Bar::AtLeast(LEAST_UNCHANGED)),
                    )],
                )?;
                on(
                    &half.present,
                    goal.present.0,
                    &controls,
                    true,
                    &[(goal.outcome, Some(Bar::AtLeast(1.0 - MOST_BY_CHANCE)))],
                )?;
            }
            Way::Add => {
                on(
                    &half.target,
                    goal.target.0,
                    &own,
                    false,
                    &[(goal.outcome, Some(Bar::AtLeast(LEAST_CAUSED)))],
                )?;
                on(
                    &half.target,
                    goal.target.0,
                    &controls,
                    true,
                    &[(goal.outcome, Some(Bar::AtMost(MOST_BY_CHANCE)))],
                )?;
                on(
                    &half.beyond,
                    goal.beyond.0,
                    &own,
                    false,
                    &[(goal.outcome, None)],
                )?;
            }
        }
        Ok(tests)
    }

    /// Shares of answers by dose, one test per outcome.
    fn curves(
        &self,
        choice: &Choice,
        asked: &[Asked<'_>],
        name: &str,
        sets: &[Vec<u32>],
        control: bool,
        wanted: &[(SteeringOutcome, Option<Bar>)],
    ) -> Result<Vec<SteeringTest>> {
        let outcomes: Vec<SteeringOutcome> = wanted.iter().map(|(outcome, _)| *outcome).collect();
        let undisturbed = self.asking.shares(asked, &[], &outcomes)?;
        let mut doses: Vec<Vec<SteeringDose>> = vec![Vec::new(); wanted.len()];
        for dose in self.goal.doses(choice.way) {
            let mut sums = vec![0.0; wanted.len()];
            for set in sets {
                let edits = self.edits(choice.way, set, dose, choice.at)?;
                let shares = self.asking.shares(asked, &edits, &outcomes)?;
                for (sum, share) in sums.iter_mut().zip(shares) {
                    *sum += share / sets.len() as f64;
                }
            }
            for (all, share) in doses.iter_mut().zip(sums) {
                all.push(SteeringDose { dose, share });
            }
        }
        let example = asked.iter().min_by_key(|one| one.user.len());
        let answer = match (example, sets.first()) {
            (Some(one), Some(set)) => {
                let edits = self.edits(choice.way, set, choice.dose, choice.at)?;
                Some(self.asking.answer(one, &edits)?)
            }
            _ => None,
        };
        let tests = wanted.iter().zip(undisturbed).zip(doses);
        Ok(tests
            .map(|((&(outcome, bar), undisturbed), doses)| SteeringTest {
                concept: self.goal.concept.to_owned(),
                action: choice.way.action(),
                positions: match choice.at {
                    At::Everywhere => Positions::All,
                    At::Template => Positions::Template,
                },
                above_cut: choice.above_cut && !control,
                control,
                sets: sets.to_vec(),
                prompts: name.to_owned(),
                prompt: example.map(|one| one.user.to_owned()),
                answer: answer.clone(),
                count: asked.len() as u64,
                outcome,
                undisturbed,
                doses,
                chosen: choice.dose,
                bar,
            })
            .collect())
    }

    /// Random latents of any class in a choice's place, the concept's own excluded.
    fn controls(&self, choice: &Choice) -> Vec<Vec<u32>> {
        let own = |latent: u32| {
            let mut asked = self
                .contrasts
                .iter()
                .filter(|contrast| self.goal.is_asked_by(contrast));
            asked.any(|contrast| {
                self.scored
                    .auroc(contrast, true, latent)
                    .is_some_and(|auroc| auroc >= BELONGS)
            })
        };
        let fires = |latent: u32| {
            let values = self.scored.values(&self.goal.present.1, true, latent);
            let firing = values.iter().filter(|value| **value > 0.0).count();
            firing as f64 >= ACTIVE * values.len() as f64
        };
        let maximum = |latent: u32| {
            let row = self.scored.rows.get(latent as usize);
            row.and_then(|row| row.max_activation).unwrap_or(0.0) as f32
        };
        let (live, _) = live(self.scored.rows);
        let pool: Vec<u32> = live
            .into_iter()
            .filter(|&latent| maximum(latent) > 0.0 && fires(latent) && !own(latent))
            .collect();
        let name = format!("control {} {:?}", self.goal.concept, choice.way);
        (0..DRAWS)
            .map(|draw| {
                control(
                    &choice.latents,
                    &pool,
                    maximum,
                    &mut stream(self.seed, &name, draw),
                )
            })
            .collect()
    }
}
