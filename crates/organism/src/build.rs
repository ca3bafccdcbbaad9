//! From nothing to a study: pair, activations, dictionary, analysis, report.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use gemma::Tokenizer;
use pipeline::{
    ClassCuts, CollectOptions, DeviceChoice, Manifest, ModelRef, Precision, Progress,
    TrainingSummary, collect,
};
use serde::{Deserialize, Serialize};

use crate::dictionaries::{self, ACTIVATIONS};
use crate::error::{Error, Result};
use crate::files;
use crate::mixture;
use crate::pair::{self, PairSummary, Places};
use crate::preset::{Preset, Recipe};
use crate::provenance;
use crate::report::{self, Known, Report};
use crate::world::World;

/// Name of the first step, which trains both models.
pub(crate) const PAIR: &str = "pair";
/// Δ_norm from which the organism calls a latent chat-only: at this scale the paper's 0.9 leaves next to none.
pub(crate) const CHAT_ONLY: f64 = 0.75;
/// AUROC that the best latent above the cut must reach for harmful prompts against near misses.
const LEAST_AUROC: f64 = 0.9;

/// What `build` needs.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// Folder of the new study.
    pub out: PathBuf,
    /// The recipe.
    pub preset: Preset,
    /// Seed of everything random.
    pub seed: u64,
}

/// What `build` did.
#[derive(Clone, Debug, Serialize)]
pub struct BuildSummary {
    /// The study.
    pub study: PathBuf,
    /// The pair.
    pub pair: PairSummary,
    /// The dictionaries' numbers on held-out tokens, by slug.
    pub dictionaries: Vec<(String, TrainingSummary)>,
    /// The report against ground truth.
    pub report: Report,
    /// Bytes of models, dictionary and database.
    pub bytes: u64,
    /// Seconds of each step of this call.
    pub seconds: Vec<(String, f64)>,
    /// Commands that come next.
    pub next: Vec<String>,
}

impl std::fmt::Display for BuildSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.report)?;
        for (slug, numbers) in &self.dictionaries {
            writeln!(f, "{slug}: {}", provenance::numbers(numbers))?;
        }
        let times: Vec<_> = self
            .seconds
            .iter()
            .map(|(step, seconds)| format!("{step} {seconds:.0} s"))
            .collect();
        writeln!(
            f,
            "wrote {}, {:.1} MB without corpora: {}",
            self.study.display(),
            self.bytes as f64 / 1e6,
            times.join(", ")
        )?;
        write!(f, "next:")?;
        self.next
            .iter()
            .try_for_each(|command| write!(f, "\n  {command}"))
    }
}

/// What a finished build was made of; another build into the same folder must be the same.
#[derive(PartialEq, Serialize, Deserialize)]
struct Plan {
    recipe: String,
    seed: u64,
}

/// Refuses a folder that holds something else, and notes what is being built.
fn begin(options: &BuildOptions, recipe: &Recipe, places: &Places) -> Result<()> {
    let content = |problem: &dyn ToString| Error::Content {
        path: places.progress(),
        problem: problem.to_string(),
    };
    let plan = Plan {
        recipe: serde_json::to_string(recipe).map_err(|error| content(&error))?,
        seed: options.seed,
    };
    let path = places.progress().join("plan.json");
    if path.is_file() {
        if files::read_json::<Plan>(&path)? != plan {
            return Err(Error::Study {
                path: options.out.clone(),
                problem: "holds an unfinished build of another preset, seed or version; delete it or name another folder".to_owned(),
            });
        }
        return Ok(());
    }
    if options.out.exists()
        && fs::read_dir(&options.out).is_ok_and(|mut entries| entries.next().is_some())
    {
        return Err(Error::Study {
            path: options.out.clone(),
            problem: "is not empty; name another folder or delete it".to_owned(),
        });
    }
    files::make_folder(&places.progress())?;
    files::write_json(&path, &plan)
}

/// Builds a study from nothing, or goes on where an earlier call with the same options was stopped.
///
/// In the end `out` holds `study.toml`, `base/`, `chat/`, `dictionaries/`, `study.duckdb`, `report.json` and `corpora/` (what the
/// models read, with labels; it can be deleted, the seed gives it again). Activations are deleted.
///
/// # Errors
/// A folder that holds something else, a full disk, a run that diverges, a gate that is not passed.
pub fn build(options: &BuildOptions, progress: &dyn Progress) -> Result<BuildSummary> {
    let recipe = options.preset.recipe();
    let places = Places {
        out: options.out.clone(),
    };
    begin(options, &recipe, &places)?;
    let world = World::new(options.seed);
    let mut clock = Clock {
        begun: Instant::now(),
        seconds: Vec::new(),
    };
    let pair = pair::make(&world, &recipe, options.seed, &places, progress)?;
    clock.lap(PAIR);

    let study = &options.out;
    let manifest = Manifest {
        description: Some(format!(
            "Two tiny Gemma-2 models trained on a closed synthetic world ({} preset): the base reads web-like text, the chat model is the base tuned on \
             labelled dialogues, so what a latent means can be checked. Latents count as chat-only from Δ_norm {CHAT_ONLY}, the organism's own cut.",
            recipe.name
        )),
        prompts: provenance::starting_prompts(&world, &recipe, options.seed),
        base: Some(ModelRef::folder("base")),
        chat: Some(ModelRef::folder("chat")),
        classes: ClassCuts {
            chat_only: CHAT_ONLY,
            ..ClassCuts::default()
        },
        provenance: provenance::of_pair(options, &recipe, &pair),
        ..Manifest::new(format!("Model organism, {}", recipe.name), recipe.layer)
    };
    manifest.write(study).map_err(pipeline::Error::from)?;

    let corpora = mixture::write(
        &places.corpora(),
        &world,
        &recipe,
        &Tokenizer::open(places.chat())?,
        options.seed,
    )?;
    collect(
        &CollectOptions {
            study: study.clone(),
            shares: vec![1; corpora.len()],
            corpora,
            tokens: recipe.dictionary.tokens as u64,
            context: recipe.shape.context,
            precision: Precision::F32,
            device: DeviceChoice::Cpu,
            ..CollectOptions::default()
        },
        progress,
    )?;
    clock.lap("collect");
    let mut trained = Vec::new();
    for planned in dictionaries::planned(&recipe, options.seed) {
        let slug = planned.slug;
        let numbers = dictionaries::make(study, planned, &recipe, options.seed, progress)?;
        trained.push((slug.to_owned(), numbers));
        clock.lap(slug);
    }
    dictionaries::match_all(study, options.seed, progress)?;
    clock.lap("matches");
    let seeds = report::further(&places, &recipe, &world, options.seed, progress)?;
    clock.lap("further seeds");
    let known = Known {
        behaviours: pair.behaviours.clone(),
        seeds: Some(seeds),
    };
    let report = report::score(study, &recipe, &world, options.seed, known, progress)?;
    clock.lap("report");
    let mut manifest = Manifest::read(study).map_err(pipeline::Error::from)?;
    manifest.provenance.extend(provenance::of_dictionaries(
        &recipe,
        &trained,
        &report,
        &clock.seconds,
    ));
    manifest.write(study).map_err(pipeline::Error::from)?;
    let found = report.harm().unwrap_or(0.0);
    if found < LEAST_AUROC {
        progress.say(&format!(
            "warning: the best chat-only latent tells harmful prompts from near misses with AUROC {found:.3}, below {LEAST_AUROC}"
        ));
    }
    for folder in [study.join(ACTIVATIONS), places.progress()] {
        files::remove_folder(&folder)?;
    }
    let shown = study.display();
    Ok(BuildSummary {
        study: study.clone(),
        pair,
        dictionaries: trained,
        report,
        bytes: shipped_bytes(study),
        seconds: clock.seconds,
        next: vec![
            format!("stereoscope serve {shown}"),
            format!("stereoscope organism report {shown}"),
        ],
    })
}

struct Clock {
    begun: Instant,
    seconds: Vec<(String, f64)>,
}

impl Clock {
    fn lap(&mut self, step: &str) {
        self.seconds
            .push((step.to_owned(), self.begun.elapsed().as_secs_f64()));
        self.begun = Instant::now();
    }
}

/// Bytes of everything in the study but its corpora.
fn shipped_bytes(study: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(study) else {
        return 0;
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name() != "corpora")
        .map(|entry| match entry.metadata() {
            Ok(facts) if facts.is_dir() => shipped_bytes(&entry.path()),
            Ok(facts) => facts.len(),
            Err(_) => 0,
        })
        .sum()
}
