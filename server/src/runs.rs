//! Saved runs: what determines them, their ids, and the generations of late that need not be computed again to be saved.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use api::{GenerateRequest, Lane, Run, RunInputs, RunOutput, Sampling, TokenInfo};
use engine::{Checked, DictionaryOptions};
use sha2::{Digest, Sha256};

use crate::problem::{Answer, Problem};

/// Generations remembered for saving.
const REMEMBERED: usize = 64;

/// Digits of an id: 128 bits.
const ID_DIGITS: usize = 32;

/// Files of a dictionary that decide what it computes.
const DICTIONARY_FILES: [&str; 3] = ["model.safetensors", "config.json", "trainer_config.json"];

/// The saved runs of an open study. Clones share them.
#[derive(Clone)]
pub(crate) struct Runs {
    store: Arc<store::Runs>,
    facts: Arc<Facts>,
    recent: Arc<Mutex<Recent>>,
}

/// Generations and what they came to, the latest last.
type Recent = VecDeque<(Generation, Vec<RunOutput>)>;

/// What the server's models and dictionaries are.
#[derive(Default)]
pub(crate) struct Facts {
    study: String,
    models: (String, String),
    hashes: [String; 2],
    template: String,
    layer: usize,
    dtype: String,
    dictionaries: Vec<DictionaryOptions>,
    /// Hashes of dictionaries, by slug; made when first asked for, since that reads whole files.
    dictionary_hashes: Mutex<HashMap<String, String>>,
}

/// What tells generations of one server apart.
#[derive(Clone, PartialEq)]
pub(crate) struct Generation {
    dictionary: String,
    ids: Vec<u32>,
    lanes: Vec<Lane>,
    sampling: Sampling,
}

impl Facts {
    /// What the checks found of a study's models.
    pub(crate) fn new(study: &str, options: &engine::Options, checked: &Checked) -> Self {
        Self {
            study: study.into(),
            models: (checked.base.name.clone(), checked.chat.name.clone()),
            hashes: checked.hashes.clone(),
            template: format!("{:x}", Sha256::digest(&checked.template)),
            layer: options.layer,
            dtype: checked.dtype.clone(),
            dictionaries: options.dictionaries.clone(),
            dictionary_hashes: Mutex::default(),
        }
    }

    /// Hash of a dictionary's files and largest activations. Reads the files when first asked.
    fn dictionary(&self, slug: &str) -> io::Result<String> {
        let mut hashes = self
            .dictionary_hashes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(hash) = hashes.get(slug) {
            return Ok(hash.clone());
        }
        let mut hash = Sha256::new();
        if let Some(dictionary) = self.dictionaries.iter().find(|d| d.slug == slug) {
            for name in DICTIONARY_FILES {
                hash.update(name);
                match File::open(dictionary.path.join(name)) {
                    Ok(mut file) => drop(io::copy(&mut file, &mut hash)?),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                    Err(error) => return Err(error),
                }
            }
            for max in &dictionary.max_activations {
                hash.update(max.unwrap_or(f32::NAN).to_le_bytes());
            }
        }
        let hash = format!("{:x}", hash.finalize());
        hashes.insert(slug.into(), hash.clone());
        Ok(hash)
    }

    fn inputs(&self, generation: &Generation) -> io::Result<RunInputs> {
        let [base, chat] = self.hashes.clone();
        Ok(RunInputs {
            version: env!("CARGO_PKG_VERSION").into(),
            base,
            chat,
            dictionary: self.dictionary(&generation.dictionary)?,
            template: self.template.clone(),
            layer: self.layer,
            dtype: self.dtype.clone(),
            ids: generation.ids.clone(),
            lanes: generation.lanes.clone(),
            sampling: generation.sampling,
        })
    }
}

impl Generation {
    pub(crate) fn new(request: &GenerateRequest, tokens: &[TokenInfo]) -> Self {
        Self {
            dictionary: request.dictionary.clone(),
            ids: tokens.iter().map(|token| token.id).collect(),
            lanes: request.lanes.clone(),
            sampling: request.sampling,
        }
    }
}

impl Runs {
    /// The runs kept in `path`, no more than `most`.
    ///
    /// # Errors
    /// A file that is no database of runs.
    pub(crate) fn open(path: &Path, most: u64, facts: Facts) -> store::Result<Self> {
        Ok(Self {
            store: Arc::new(store::Runs::open(path, most)?),
            facts: Arc::new(facts),
            recent: Arc::default(),
        })
    }

    /// A run's id and what determines it. The first call for a dictionary reads its files.
    ///
    /// # Errors
    /// 500 when they cannot be read any more.
    pub(crate) async fn inputs(&self, generation: Generation) -> Answer<(String, RunInputs)> {
        let facts = Arc::clone(&self.facts);
        let inputs = tokio::task::spawn_blocking(move || {
            let inputs = facts.inputs(&generation)?;
            let text = serde_json::to_vec(&inputs)?;
            let mut id = format!("{:x}", Sha256::digest(text));
            id.truncate(ID_DIGITS);
            io::Result::Ok((id, inputs))
        });
        match inputs.await {
            Ok(Ok(inputs)) => Ok(inputs),
            failed => {
                tracing::error!(?failed, "a run's inputs could not be hashed");
                let detail =
                    "the dictionary's files cannot be read any more; start the server again";
                Err(Problem::internal(detail))
            }
        }
    }

    /// A run to be saved now.
    pub(crate) fn run(
        &self,
        id: String,
        request: GenerateRequest,
        tokens: Vec<TokenInfo>,
        inputs: RunInputs,
        outputs: Vec<RunOutput>,
    ) -> Run {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Run {
            id,
            saved: now.unwrap_or_default().as_secs(),
            study: self.facts.study.clone(),
            models: self.facts.models.clone(),
            dictionary: request.dictionary,
            prompt: request.prompt,
            tokens,
            inputs,
            outputs,
        }
    }

    /// Remembers what a generation came to.
    pub(crate) fn remember(&self, generation: Generation, outputs: Vec<RunOutput>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|(known, _)| *known != generation);
        recent.push_back((generation, outputs));
        while recent.len() > REMEMBERED {
            recent.pop_front();
        }
    }

    /// What a generation came to, if it was of late.
    pub(crate) fn recall(&self, generation: &Generation) -> Option<Vec<RunOutput>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let known = recent.iter().find(|(known, _)| known == generation);
        known.map(|(_, outputs)| outputs.clone())
    }

    /// Asks the file of runs, on a thread where waiting is allowed.
    ///
    /// # Errors
    /// Its error as a problem.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&store::Runs) -> store::Result<T> + Send + 'static,
    ) -> Answer<T> {
        let store = Arc::clone(&self.store);
        match tokio::task::spawn_blocking(move || question(&store)).await {
            Ok(answer) => Ok(answer?),
            Err(error) => {
                tracing::error!(%error, "a question to the saved runs failed");
                Err(Problem::internal(
                    "the saved runs could not be read; try again",
                ))
            }
        }
    }
}

/// What of a run's inputs is not what it was.
pub(crate) fn changed(stored: &RunInputs, now: &RunInputs) -> Vec<String> {
    let parts = [
        ("the program's version", stored.version != now.version),
        ("the base model", stored.base != now.base),
        ("the chat model", stored.chat != now.chat),
        ("the dictionary", stored.dictionary != now.dictionary),
        ("the chat template", stored.template != now.template),
        ("the layer", stored.layer != now.layer),
        ("the number format", stored.dtype != now.dtype),
    ];
    let changed = parts.into_iter().filter(|(_, differs)| *differs);
    changed.map(|(name, _)| name.to_owned()).collect()
}
