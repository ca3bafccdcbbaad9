//! `analyse`: everything the explorer shows of a dictionary's latents, into `study.duckdb`.

mod examples;
mod lens;
mod neighbours;
mod scan;
mod weights;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use api::{ClassCounts, LatentRow, TrainingSummary};
use candle_core::Device;
use crosscoder::Crosscoder;
use gemma::Model;
use serde::Serialize;
use store::manifest::Manifest;
use store::{Store, Writer};

use crate::collection::Collection;
use crate::files::{checksum, read_json};
use crate::study::{Pair, dictionary};
use crate::train::SUMMARY;
use crate::{DeviceChoice, Error, Progress, Result};

pub(crate) use scan::chunk_tokens;

/// Version of what `analyse` computes; rows of another version are not carried over.
const ANALYSIS: &str = "1";

/// A part of the analysis. Norms, classes and cosines are always computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Nearest latents by chat decoder row; needs the weights alone.
    Neighbours,
    /// Logit lens of both decoders; needs the models.
    LogitLens,
    /// Latent Scaling; needs activations.
    Scaling,
    /// Frequency, maximum, mean, template share and histogram; needs activations.
    Statistics,
    /// Examples by quantile; needs activations and statistics.
    Examples,
}

impl Step {
    /// Every step, in the order of running.
    pub const ALL: [Self; 5] = [
        Self::Neighbours,
        Self::LogitLens,
        Self::Scaling,
        Self::Statistics,
        Self::Examples,
    ];

    /// The step's name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Neighbours => "neighbours",
            Self::LogitLens => "logit-lens",
            Self::Scaling => "scaling",
            Self::Statistics => "statistics",
            Self::Examples => "examples",
        }
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|step| step.as_str() == name)
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::as_str).join(", ");
                format!("{name:?} is not a step; the steps are {names}")
            })
    }
}

/// What `analyse` needs.
#[derive(Clone, Debug)]
pub struct AnalyseOptions {
    /// Folder of the study.
    pub study: PathBuf,
    /// Slug of the dictionary.
    pub dictionary: String,
    /// Steps to run; empty: all. What other steps wrote for the same dictionary and activations stays.
    pub steps: Vec<Step>,
    /// Examples per latent and quantile group.
    pub examples_per_group: usize,
    /// Seed of the choice of examples.
    pub seed: u64,
    /// Tokens named at each end of a logit lens.
    pub lens_tokens: usize,
    /// Nearest latents named.
    pub neighbours: usize,
    /// Where dictionary and models run.
    pub device: DeviceChoice,
}

impl Default for AnalyseOptions {
    fn default() -> Self {
        Self {
            study: PathBuf::new(),
            dictionary: String::new(),
            steps: Vec::new(),
            examples_per_group: 20,
            seed: 0,
            lens_tokens: 10,
            neighbours: 10,
            device: DeviceChoice::Auto,
        }
    }
}

/// What `analyse` did.
#[derive(Clone, Debug, Serialize)]
pub struct AnalyseSummary {
    /// Slug of the dictionary.
    pub dictionary: String,
    /// Number of latents.
    pub latents: usize,
    /// Tokens read; `None` without activations.
    pub tokens: Option<u64>,
    /// Latents per class, verdict, and dead ones.
    pub counts: ClassCounts,
    /// Steps left out, and why.
    pub skipped: Vec<String>,
    /// Commands that come next.
    pub next: Vec<String>,
}

impl fmt::Display for AnalyseSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes: Vec<String> = self
            .counts
            .classes
            .iter()
            .map(|(class, count)| format!("{count} {}", class.as_str()))
            .collect();
        write!(
            f,
            "analysed {}: {} latents ({})",
            self.dictionary,
            self.latents,
            classes.join(", ")
        )?;
        if let Some(dead) = self.counts.dead {
            write!(f, ", {dead} dead")?;
        }
        if let Some(tokens) = self.tokens {
            write!(f, ", over {tokens} tokens")?;
        }
        writeln!(f)?;
        crate::write_next(f, &self.next)
    }
}

/// What the steps share.
struct Context<'a> {
    options: &'a AnalyseOptions,
    crosscoder: Crosscoder,
    collection: Option<Collection>,
    pair: Option<Pair>,
    device: Device,
    progress: &'a dyn Progress,
}

/// Computes norms, classes and cosines, and every step that is asked for and has its data; writes them to the study's database, where
/// other dictionaries' rows stay. A run that is ended leaves the old database.
///
/// # Errors
/// An unknown or broken dictionary; models, activations and dictionary that do not fit each other; broken shards; a disk that is full.
pub fn analyse(options: &AnalyseOptions, progress: &dyn Progress) -> Result<AnalyseSummary> {
    let study = &options.study;
    let (manifest, folder) = dictionary(study, &options.dictionary)?;
    crosscoder::open(&folder)?;
    let mut skipped = Vec::new();
    let wanted: BTreeSet<Step> = if options.steps.is_empty() {
        Step::ALL.into()
    } else {
        options.steps.iter().copied().collect()
    };
    let device = options.device.open()?;
    let context = Context {
        options,
        collection: Collection::open(study)?,
        pair: pair(study, &manifest, &mut skipped)?,
        crosscoder: Crosscoder::load(&folder, &device)?,
        device,
        progress,
    };
    context.check(&manifest)?;
    let steps = context.runnable(&wanted, &mut skipped);
    for sentence in &skipped {
        progress.say(sentence);
    }

    let facts = context.facts(&folder)?;
    let database = study.join(store::DATABASE);
    let earlier = earlier(&database, &manifest, &options.dictionary, &facts);
    let mut rows = weights::rows(&context.crosscoder, &manifest.classes);
    if let Some(earlier) = &earlier {
        weights::carry_over(&mut rows, &earlier.rows);
    }
    let scan = scan::scan(&context, &steps, &mut rows, &manifest.classes)?;
    let (scaled, kept) = (
        steps.contains(&Step::Scaling),
        earlier.as_ref().and_then(|e| e.scaling.as_deref()),
    );
    if !scaled && kept.is_none() {
        for row in &mut rows {
            row.verdict = None;
        }
    }

    let writer = match &earlier {
        Some(_) => Writer::amend(&database, &options.dictionary)?,
        None => Writer::replace(&database, &options.dictionary)?,
    };
    for (key, value) in &facts {
        writer.set_meta(key, value)?;
    }
    writer.set_meta("skipped", &skipped.join("\n"))?;
    writer.set_meta(
        "command",
        &format!(
            "stereoscope analyse STUDY --dictionary {}",
            options.dictionary
        ),
    )?;
    if let Some(training) = training(&folder)? {
        writer.set_training(&training)?;
    }
    let mut tokens = BTreeSet::new();
    if let Some(histograms) = scan {
        writer.set_histograms(histograms)?;
    }
    if scaled && let Some(collection) = &context.collection {
        writer.set_scaling_tokens(collection.tokens)?;
    }
    if steps.contains(&Step::Neighbours) {
        writer.set_neighbours(neighbours::nearest(&context)?)?;
    }
    if steps.contains(&Step::LogitLens) {
        writer.set_lenses(lens::lenses(&context, &mut tokens)?)?;
    }
    if steps.contains(&Step::Examples) {
        examples::write(&context, &rows, &writer, &mut tokens)?;
    }
    writer.set_latents(&rows)?;
    if let Some(pair) = &context.pair {
        if let Some(earlier) = &earlier {
            tokens.extend(&earlier.tokens);
        }
        let text = |id: u32| (id, pair.tokenizer.text(id));
        writer.set_tokens(tokens.into_iter().map(text))?;
    }
    writer.finish()?;

    let facts = Store::open(&database, &manifest.classes)?.dictionary(&options.dictionary)?;
    Ok(AnalyseSummary {
        dictionary: options.dictionary.clone(),
        latents: facts.latents,
        tokens: facts.tokens,
        counts: facts.counts,
        skipped,
        next: vec![format!("stereoscope serve {}", study.display())],
    })
}

/// The study's models; none where the manifest names none, or their folders are not on this machine.
fn pair(study: &Path, manifest: &Manifest, skipped: &mut Vec<String>) -> Result<Option<Pair>> {
    let (Some(base), Some(chat)) = (&manifest.base, &manifest.chat) else {
        skipped.push("skipped logit-lens and examples: study.toml names no models".into());
        return Ok(None);
    };
    for (key, model) in [("[base]", base), ("[chat]", chat)] {
        let folder = model.resolve(study, key)?;
        if !folder.exists() {
            skipped.push(format!(
                "skipped logit-lens and examples: the folder {} of {key} is not there",
                folder.display()
            ));
            return Ok(None);
        }
    }
    Pair::of(study, manifest).map(Some)
}

impl Context<'_> {
    /// Refuses parts that were not made for each other.
    fn check(&self, manifest: &Manifest) -> Result<()> {
        let slug = &self.options.dictionary;
        let width = self.crosscoder.activation_dim();
        if let Some(pair) = &self.pair
            && pair.width() != width
        {
            return Err(Error::Mismatch(format!(
                "dictionary {slug} has width {width}, the models have {}; name a dictionary trained on these models",
                pair.width()
            )));
        }
        let Some(collection) = &self.collection else {
            return Ok(());
        };
        let identity = &collection.identity;
        let again = "run `stereoscope collect` with --force";
        if identity.hidden_size != width {
            return Err(Error::Mismatch(format!(
                "dictionary {slug} has width {width}, the collected activations have {}; name a dictionary trained on these models",
                identity.hidden_size
            )));
        }
        if identity.layer != manifest.layer {
            return Err(Error::Mismatch(format!(
                "the activations are of layer {}, study.toml says layer {}; {again}",
                identity.layer, manifest.layer
            )));
        }
        if let Some(pair) = &self.pair
            && identity.models != [pair.base.hash(), pair.chat.hash()]
        {
            return Err(Error::Mismatch(format!(
                "the activations were collected from other models than study.toml names; {again}"
            )));
        }
        Ok(())
    }

    /// The wanted steps that have their data.
    fn runnable(&self, wanted: &BTreeSet<Step>, skipped: &mut Vec<String>) -> BTreeSet<Step> {
        let mut steps = wanted.clone();
        if self.pair.is_none() {
            steps.remove(&Step::LogitLens);
            steps.remove(&Step::Examples);
        }
        if self.collection.is_none() {
            let lacking = [Step::Scaling, Step::Statistics, Step::Examples];
            let lacking: Vec<&str> = lacking
                .into_iter()
                .filter(|step| steps.remove(step))
                .map(Step::as_str)
                .collect();
            if !lacking.is_empty() {
                skipped.push(format!(
                    "skipped {}: nothing is collected; run `stereoscope collect {} --corpus FILE --tokens N` first",
                    lacking.join(", "),
                    self.options.study.display()
                ));
            }
        }
        // The groups of examples are shares of the maximum.
        if steps.contains(&Step::Examples) {
            steps.insert(Step::Statistics);
        }
        steps
    }

    /// What the rows were made from.
    fn facts(&self, folder: &Path) -> Result<Vec<(&'static str, String)>> {
        let mut facts = vec![
            ("analysis", ANALYSIS.to_string()),
            (
                "dictionary_sha256",
                checksum(&folder.join("model.safetensors"))?,
            ),
            ("examples_seed", self.options.seed.to_string()),
        ];
        if let Some(collection) = &self.collection {
            let identity = &collection.identity;
            let corpora: Vec<&str> = identity.corpora.iter().map(|c| c.name.as_str()).collect();
            let [base, chat] = &identity.models;
            facts.extend([
                ("activations", identity.hash()),
                ("base_sha256", base.clone()),
                ("chat_sha256", chat.clone()),
                ("layer", identity.layer.to_string()),
                ("corpus", corpora.join(", ")),
            ]);
        }
        Ok(facts)
    }

    /// Both models with their weights, for the logit lens.
    fn models(&self) -> Result<Option<[Model; 2]>> {
        self.pair
            .as_ref()
            .map(|pair| pair.load(&self.device, self.progress))
            .transpose()
    }
}

/// What an earlier analysis of the same dictionary over the same activations left.
struct Earlier {
    rows: Vec<LatentRow>,
    scaling: Option<String>,
    /// Tokens that its lenses and examples use.
    tokens: Vec<u32>,
}

fn earlier(
    database: &Path,
    manifest: &Manifest,
    slug: &str,
    facts: &[(&'static str, String)],
) -> Option<Earlier> {
    let store = Store::open(database, &manifest.classes).ok()?;
    if !store.is_analysed(slug) {
        return None;
    }
    let meta = store.dictionary(slug).ok()?.meta;
    let same = facts
        .iter()
        .filter(|(key, _)| *key != "examples_seed")
        .all(|(key, value)| meta.get(*key) == Some(value));
    if !same {
        return None;
    }
    Some(Earlier {
        rows: store.rows(slug).ok()?.to_vec(),
        scaling: meta.get("scaling_tokens").cloned(),
        tokens: store.token_ids(slug).ok()?,
    })
}

fn training(folder: &Path) -> Result<Option<TrainingSummary>> {
    let path = folder.join(SUMMARY);
    if !path.exists() {
        return Ok(None);
    }
    read_json(&path, "delete it, or train the dictionary anew").map(Some)
}
