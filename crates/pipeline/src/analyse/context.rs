//! What the steps share: study, dictionary, activations and models, opened and checked against each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use api::LatentRow;
use candle_core::Device;
use crosscoder::Crosscoder;
use gemma::Model;
use store::manifest::Manifest;
use store::{Scaled, Store};

use super::{AnalyseOptions, Step};
use crate::collection::{Collection, Entry};
use crate::files::{checksum, read_json};
use crate::memory::Memory;
use crate::study::{Pair, dictionary};
use crate::{Error, Progress, Result};

/// Version of what `analyse` computes; rows of another version are not carried over.
const ANALYSIS: &str = "1";

/// What the trainer notes beside a dictionary.
const TRAINER: &str = "trainer_config.json";

/// Key in `meta` of the seed, which does not make an earlier analysis another one.
const SEED: &str = "examples_seed";

/// What the steps share.
pub(crate) struct Context<'a> {
    pub(crate) options: &'a AnalyseOptions,
    pub(crate) manifest: Manifest,
    /// Folder of the dictionary.
    pub(crate) folder: PathBuf,
    pub(crate) crosscoder: Crosscoder,
    pub(crate) collection: Option<Collection>,
    pub(crate) pair: Option<Pair>,
    pub(crate) device: Device,
    pub(crate) progress: &'a dyn Progress,
    /// What the rows are made from, key and value.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// What is already in the database about the same.
    pub(crate) earlier: Option<Earlier>,
}

/// What an earlier analysis of the same dictionary over the same activations left.
pub(crate) struct Earlier {
    pub(crate) rows: Vec<LatentRow>,
    /// Latents for which Latent Scaling ran.
    pub(crate) scaled: Scaled,
    /// Tokens that its lenses and examples use.
    pub(crate) tokens: Vec<u32>,
}

/// The study's models; none where the manifest names none, or their folders are not on this machine.
fn pair(study: &Path, manifest: &Manifest, skipped: &mut Vec<String>) -> Result<Option<Pair>> {
    let (Some(base), Some(chat)) = (&manifest.base, &manifest.chat) else {
        skipped.push("skipped logit-lens, examples and effects: study.toml names no models".into());
        return Ok(None);
    };
    for (key, model) in [("[base]", base), ("[chat]", chat)] {
        let folder = model.resolve(study, key)?;
        if !folder.exists() {
            skipped.push(format!(
                "skipped logit-lens, examples and effects: the folder {} of {key} is not there",
                folder.display()
            ));
            return Ok(None);
        }
    }
    Pair::of(study, manifest).map(Some)
}

/// The layer that a dictionary's trainer noted, if any.
fn trained_at(folder: &Path) -> Result<Option<u64>> {
    let path = folder.join(TRAINER);
    if !path.exists() {
        return Ok(None);
    }
    let config: serde_json::Value = read_json(&path, "fetch the file that belongs to the weights")?;
    Ok(config["trainer"]["layer"].as_u64())
}

/// Tokens of a dialogue that memory is planned for where nothing is collected.
const CONTEXT: usize = 1024;

impl<'a> Context<'a> {
    /// Opens everything; what is not there and which steps need it is added to `skipped`.
    pub(super) fn open(
        options: &'a AnalyseOptions,
        progress: &'a dyn Progress,
        skipped: &mut Vec<String>,
    ) -> Result<Self> {
        let study = &options.study;
        let (manifest, folder) = dictionary(study, &options.dictionary)?;
        let header = crosscoder::open(&folder)?;
        let device = options.device.open()?;
        let pair = pair(study, &manifest, skipped)?;
        let collection = Collection::open(study)?;
        let mut memory = Memory::on(&device);
        memory.dictionary(&options.dictionary, &header);
        let steps = &options.steps;
        let models = [Step::LogitLens, Step::Effects];
        if let Some(pair) = &pair
            && (steps.is_empty() || models.iter().any(|step| steps.contains(step)))
        {
            let context = collection.as_ref().map_or(CONTEXT, |c| c.identity.context);
            memory.lower_halves(pair, context.min(pair.context()));
            memory.upper_halves(pair);
        }
        memory.announce(options.memory, progress)?;
        let mut context = Self {
            options,
            collection,
            pair,
            crosscoder: Crosscoder::load(&folder, &device)?,
            manifest,
            folder,
            device,
            progress,
            facts: Vec::new(),
            earlier: None,
        };
        context.check()?;
        context.facts = context.facts()?;
        context.earlier = context.earlier();
        Ok(context)
    }

    /// Whether this run reads a share of the activations only.
    pub(crate) fn sharded(&self) -> bool {
        self.options.shard.is_some_and(|shard| shard.count > 1)
    }

    /// Path of the study's database.
    pub(crate) fn database(&self) -> PathBuf {
        self.options.study.join(store::DATABASE)
    }

    /// Largest v of every latent as an earlier run found it; `None` before that.
    pub(crate) fn maxima(&self) -> Option<Vec<f32>> {
        let rows = &self.earlier.as_ref()?.rows;
        rows.iter()
            .map(|row| row.max_activation.map(|max| max as f32))
            .collect()
    }

    /// The shards to read, each with the number of its first sequence: all, or those of this run's share.
    pub(crate) fn shards(&self) -> Vec<(&Entry, u64)> {
        let entries = self.collection.iter().flat_map(|c| &c.shards);
        let mut first = 0;
        let numbered = entries.map(|entry| {
            let number = first;
            first += entry.sequences;
            (entry, number)
        });
        let shard = self.options.shard;
        numbered
            .enumerate()
            .filter(|(i, _)| shard.is_none_or(|shard| shard.has(*i)))
            .map(|(_, entry)| entry)
            .collect()
    }

    /// Refuses parts that were not made for each other.
    fn check(&self) -> Result<()> {
        let manifest = &self.manifest;
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
        if let Some(layer) = trained_at(&self.folder)?
            && layer != manifest.layer as u64
        {
            return Err(Error::Mismatch(format!(
                "dictionary {slug} was trained at layer {layer}, study.toml says layer {}; name a dictionary of this layer, or mend `layer` in {}",
                manifest.layer,
                self.folder.join(TRAINER).display()
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
    pub(super) fn runnable(&self, skipped: &mut Vec<String>) -> BTreeSet<Step> {
        let mut steps: BTreeSet<Step> = if self.options.steps.is_empty() {
            Step::ALL.into()
        } else {
            self.options.steps.iter().copied().collect()
        };
        if self.pair.is_none() {
            for step in [Step::LogitLens, Step::Examples, Step::Effects] {
                steps.remove(&step);
            }
        }
        if self.collection.is_none() {
            let lacking = [
                Step::Scaling,
                Step::Baselines,
                Step::Statistics,
                Step::Examples,
                Step::Correlated,
                Step::Verification,
                Step::Joint,
            ];
            // Dialogues of a file do without.
            let effects = (self.options.effects.dialogues.is_none()).then_some(Step::Effects);
            let lacking: Vec<&str> = lacking
                .into_iter()
                .chain(effects)
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
        // Groups of examples and buckets of activations are shares of the maximum.
        let by_share = [Step::Examples, Step::Verification, Step::Joint];
        if by_share.iter().any(|step| steps.contains(step)) && self.maxima().is_none() {
            steps.insert(Step::Statistics);
        }
        let scaled = self.earlier.as_ref().is_some_and(|e| e.scaled.any());
        if steps.contains(&Step::Verification) && !scaled {
            steps.insert(Step::Scaling);
        }
        if self.sharded() && Step::FILL_ROWS.iter().any(|step| steps.contains(step)) {
            let later: Vec<&str> = Step::AFTER_MERGE
                .into_iter()
                .filter(|step| steps.remove(step))
                .map(Step::as_str)
                .collect();
            if !later.is_empty() {
                skipped.push(format!(
                    "skipped {}: this starts from the numbers over all shards; after the merge run `stereoscope analyse {} --dictionary {} \
                     --steps {}`, with --shard I/N to share it out",
                    later.join(", "),
                    self.options.study.display(),
                    self.options.dictionary,
                    later.join(",")
                ));
            }
        }
        steps
    }

    /// Every latent with the one that fires most closely with it, as an earlier run found out; empty before that.
    pub(super) fn closest_partners(&self) -> Result<Vec<(u32, u32)>> {
        if self.earlier.is_none() {
            return Ok(Vec::new());
        }
        let store = Store::open(&self.database(), &self.manifest.classes)?;
        Ok(store.closest_partners(&self.options.dictionary)?)
    }

    fn facts(&self) -> Result<Vec<(&'static str, String)>> {
        let mut facts = vec![
            ("analysis", ANALYSIS.to_string()),
            (
                "dictionary_sha256",
                checksum(&self.folder.join("model.safetensors"))?,
            ),
            (SEED, self.options.seed.to_string()),
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

    fn earlier(&self) -> Option<Earlier> {
        let slug = &self.options.dictionary;
        let store = Store::open(&self.database(), &self.manifest.classes).ok()?;
        if !store.is_analysed(slug) {
            return None;
        }
        let known = store.dictionary(slug).ok()?;
        let mut facts = self.facts.iter().filter(|(key, _)| *key != SEED);
        if !facts.all(|(key, value)| known.meta.get(*key) == Some(value)) {
            return None;
        }
        Some(Earlier {
            rows: store.rows(slug).ok()?.to_vec(),
            scaled: known.scaled,
            tokens: store.token_ids(slug).ok()?,
        })
    }

    /// Both models with their weights, for the logit lens and the effects.
    pub(crate) fn models(&self) -> Result<Option<[Model; 2]>> {
        self.pair
            .as_ref()
            .map(|pair| pair.load(&self.device, self.progress))
            .transpose()
    }
}
