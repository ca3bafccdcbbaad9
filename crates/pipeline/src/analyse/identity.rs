//! What determines an analysis: the same in all its parts, and in a run that goes on where another was ended.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use api::ClassCuts;
use serde::{Deserialize, Serialize};

use super::{AnalyseOptions, Context, ScaledLatents, Step};
use crate::files::fingerprint;
use crate::{DeviceChoice, EffectOptions};

/// What determines an analysis but for the part of the data that a run reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Hashes of dictionary, models and activations, version of the analysis, seed.
    facts: Vec<(String, String)>,
    pub(super) steps: BTreeSet<Step>,
    classes: ClassCuts,
    examples_per_group: usize,
    seed: u64,
    lens_tokens: usize,
    neighbours: usize,
    jump_threshold: Option<f32>,
    scaled: ScaledLatents,
    noise_bucket: bool,
    correlated_sample: usize,
    /// Options of the effects, where they are measured; a file of dialogues by its name, as workers may have it in different places.
    effects: Option<EffectOptions>,
    /// Hash of the rows in the database, where steps start from them.
    rows: Option<String>,
}

impl Identity {
    pub(super) fn of(context: &Context<'_>, steps: &BTreeSet<Step>) -> Self {
        let options = context.options;
        let facts = context.facts.iter();
        let effects = steps.contains(&Step::Effects).then(|| {
            let file = options.effects.dialogues.as_deref();
            EffectOptions {
                dialogues: file.and_then(Path::file_name).map(PathBuf::from),
                ..options.effects.clone()
            }
        });
        let stored = Step::AFTER_MERGE.iter().any(|step| steps.contains(step))
            && !Step::FILL_ROWS.iter().any(|step| steps.contains(step));
        let rows = context.earlier.as_ref().filter(|_| stored);
        Self {
            facts: facts
                .map(|(key, value)| ((*key).into(), value.clone()))
                .collect(),
            steps: steps.clone(),
            classes: context.manifest.classes,
            examples_per_group: options.examples_per_group,
            seed: options.seed,
            lens_tokens: options.lens_tokens,
            neighbours: options.neighbours,
            jump_threshold: options.jump_threshold,
            scaled: options.scaled.clone(),
            noise_bucket: options.noise_bucket,
            correlated_sample: options.correlated_sample,
            effects,
            rows: rows.map(|earlier| fingerprint(&earlier.rows)),
        }
    }

    /// The options of the run that puts parts of this identity together.
    pub(super) fn options(&self, study: &Path, slug: &str, device: DeviceChoice) -> AnalyseOptions {
        AnalyseOptions {
            study: study.to_path_buf(),
            dictionary: slug.into(),
            steps: self.steps.iter().copied().collect(),
            examples_per_group: self.examples_per_group,
            seed: self.seed,
            lens_tokens: self.lens_tokens,
            neighbours: self.neighbours,
            jump_threshold: self.jump_threshold,
            scaled: self.scaled.clone(),
            noise_bucket: self.noise_bucket,
            correlated_sample: self.correlated_sample,
            shard: None,
            effects: self.effects.clone().unwrap_or_default(),
            device,
            ..AnalyseOptions::default()
        }
    }

    /// How this differs from another, for a message.
    pub(super) fn difference(&self, other: &Self) -> String {
        let fact = |key: &str| {
            let value = |identity: &Self| identity.facts.iter().find(|f| f.0 == key).cloned();
            value(self) != value(other)
        };
        let names = [
            ("the dictionary", fact("dictionary_sha256")),
            ("the activations", fact("activations")),
            ("the models", fact("base_sha256") || fact("chat_sha256")),
            ("the program's version", fact("analysis")),
            ("--steps", self.steps != other.steps),
            (
                "the cuts of study.toml's [classes]",
                self.classes != other.classes,
            ),
            (
                "--examples",
                self.examples_per_group != other.examples_per_group,
            ),
            (
                "--jump-threshold",
                self.jump_threshold != other.jump_threshold,
            ),
            ("--latents", self.scaled != other.scaled),
            ("--noise-bucket", self.noise_bucket != other.noise_bucket),
            (
                "--correlated-sample",
                self.correlated_sample != other.correlated_sample,
            ),
            ("the options of the effects", self.effects != other.effects),
            (
                "the numbers in study.duckdb that examples, verification, joint and effects start from",
                self.rows != other.rows,
            ),
        ];
        let names: Vec<&str> = names
            .iter()
            .filter(|name| name.1)
            .map(|name| name.0)
            .collect();
        if names.is_empty() {
            "the options".into()
        } else {
            names.join(", ")
        }
    }
}
