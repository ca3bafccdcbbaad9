//! The chat model's greedy answers while a dictionary's latents are steered, as a lane of a prompt gives them.

use std::path::Path;

use api::SteeringAction;
use candle_core::{DType, Tensor};
use crosscoder::{Crosscoder, Edit};
use gemma::{KvCache, Logits, Model, Sampler, TokenKind, Tokenizer, Turns};

use crate::edited::{At, Residuals};
use crate::score::open_store;
use crate::study::{Pair, dictionary};
use crate::{DeviceChoice, Error, Progress, Result};

/// The chat model in the pair and in decoders.
const CHAT: usize = 1;

/// A study's models with one dictionary, ready to answer.
pub struct Steering {
    models: [Model; 2],
    /// Output of this 0-based block is edited.
    layer: usize,
    crosscoder: Crosscoder,
    /// Largest v of every latent in the analysed corpus.
    maxima: Vec<Option<f32>>,
    tokenizer: Tokenizer,
    /// Ids that end an answer.
    stops: Vec<u32>,
}

/// A prompt that both models' lower halves have read.
pub struct SteeredPrompt<'a> {
    ids: Vec<u32>,
    residuals: Residuals,
    kinds: Vec<TokenKind>,
    /// What follows the prompt belongs here.
    turns: Turns<'a>,
    /// Caches of both lower halves.
    caches: [KvCache; 2],
    /// Tokens that an answer may have.
    room: usize,
}

impl Steering {
    /// Opens both models and an analysed dictionary.
    ///
    /// # Errors
    /// A study whose models or dictionary are missing, broken or of different widths; a dictionary that is not analysed.
    pub fn open(
        study: &Path,
        slug: &str,
        device: DeviceChoice,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let (manifest, folder) = dictionary(study, slug)?;
        let device = device.open()?;
        let pair = Pair::of(study, &manifest)?;
        let crosscoder = Crosscoder::load(&folder, &device)?;
        pair.check_width(slug, &crosscoder)?;
        let maxima = open_store(study)?
            .rows(slug)?
            .iter()
            .map(|row| row.max_activation.map(|most| most as f32))
            .collect();
        let models = pair.load(&device, progress)?;
        let mut stops = pair.chat.stop_ids();
        stops.extend(pair.tokenizer.end_of_turn());
        Ok(Self {
            models,
            layer: pair.layer,
            crosscoder,
            maxima,
            tokenizer: pair.tokenizer,
            stops,
        })
    }

    /// What an action does to a residual, by the chat model's decoder rows.
    ///
    /// # Errors
    /// `add` of a latent that never fired in the analysed corpus, or whose row is zero: it has no natural maximum.
    pub fn edit(&self, action: SteeringAction, latents: &[u32], dose: f32) -> Result<Edit> {
        let mut latents = latents.to_vec();
        latents.sort_unstable();
        latents.dedup();
        match action {
            SteeringAction::Scale => Ok(Edit::Scale {
                latents,
                factor: dose,
                decoder: CHAT,
            }),
            SteeringAction::Add => {
                let mut vector = vec![0f32; self.crosscoder.activation_dim()];
                for &latent in &latents {
                    let most = self.maxima.get(latent as usize).copied().flatten();
                    let code = most.unwrap_or(0.0) / self.crosscoder.model_weight(CHAT, latent);
                    if !(code.is_finite() && code > 0.0) {
                        return Err(Error::Mismatch(format!(
                            "latent {latent} has no natural maximum, so nothing can be added"
                        )));
                    }
                    let row = self.crosscoder.residual_row(CHAT, latent);
                    for (sum, d) in vector.iter_mut().zip(row) {
                        *sum += dose * (code * d);
                    }
                }
                Ok(Edit::Add { vector })
            }
        }
    }

    /// Reads a prompt; its answers may have up to `most` tokens, fewer where the models' context ends.
    ///
    /// # Errors
    /// An id outside the vocabulary, a prompt longer than the models' context.
    pub fn read(&self, ids: &[u32], most: usize) -> Result<SteeredPrompt<'_>> {
        let context = |model: &Model| model.config().max_positions;
        let [base, chat] = &self.models;
        let room = most.min(context(base).min(context(chat)).saturating_sub(ids.len()));
        let mut caches = self
            .models
            .each_ref()
            .map(|model| model.cache(ids.len() + room));
        let mut turns = self.tokenizer.turns();
        let kinds = ids.iter().map(|&id| turns.push(id).kind).collect();
        let [base_cache, chat_cache] = &mut caches;
        let residuals = [
            Some(self.lower(base, ids, base_cache)?),
            Some(self.lower(chat, ids, chat_cache)?),
        ];
        Ok(SteeredPrompt {
            ids: ids.to_vec(),
            residuals: Residuals::new(&self.crosscoder, residuals)?,
            kinds,
            turns,
            caches,
            room,
        })
    }

    /// The greedy answer to a prompt under edits, without the token that ends it.
    ///
    /// # Errors
    /// Numbers that are not finite.
    pub fn answer(&self, prompt: &SteeredPrompt<'_>, edits: &[(Edit, At)]) -> Result<Vec<u32>> {
        let [base, chat] = &self.models;
        let coded = edits.iter().any(|(edit, _)| edit.needs_codes());
        let [base_cache, chat_cache] = &prompt.caches;
        let mut cache = chat_cache.deep_copy()?;
        let mut other = if coded {
            Some(base_cache.deep_copy()?)
        } else {
            None
        };
        let mut turns = prompt.turns.clone();
        let mut sampler = Sampler::new(0.0, 1.0, 0, 0);
        let mut answer = Vec::new();
        let h = self.edited(&prompt.residuals, edits, &prompt.kinds)?;
        let mut logits = self.last(&h, &mut cache)?;
        while answer.len() < prompt.room {
            let (id, _) = sampler.sample(&logits)?;
            if self.stops.contains(&id) {
                break;
            }
            answer.push(id);
            if answer.len() == prompt.room {
                break;
            }
            let own = self.lower(chat, &[id], &mut cache)?;
            let theirs = match &mut other {
                Some(cache) => Some(self.lower(base, &[id], cache)?),
                None => None,
            };
            let residuals = Residuals::new(&self.crosscoder, [theirs, Some(own)])?;
            let h = self.edited(&residuals, edits, &[turns.push(id).kind])?;
            logits = self.last(&h, &mut cache)?;
        }
        Ok(answer)
    }

    /// How probable the chat model finds a prompt's last `count` tokens under edits: the natural logarithm of their joint probability.
    ///
    /// # Errors
    /// Numbers that are not finite.
    pub fn log_probability(
        &self,
        prompt: &SteeredPrompt<'_>,
        count: usize,
        edits: &[(Edit, At)],
    ) -> Result<f64> {
        let (chat, ids) = (&self.models[CHAT], &prompt.ids);
        let h = self.edited(&prompt.residuals, edits, &prompt.kinds)?;
        let from = ids.len().saturating_sub(count).max(1);
        let places: Vec<usize> = (from - 1..ids.len().saturating_sub(1)).collect();
        let blocks = self.layer + 1..chat.config().num_layers;
        let mut cache = chat.cache(ids.len());
        let states = chat.blocks(&h, blocks, &mut cache)?;
        let logits: Vec<Vec<f32>> = chat.logits(&states, Logits::At(&places))?.to_vec2()?;
        let wanted = ids.get(from..).unwrap_or_default();
        Ok(logits
            .iter()
            .zip(wanted)
            .map(|(row, &id)| -diffing::Prediction::new(row).loss(id as usize))
            .sum())
    }

    fn lower(&self, model: &Model, ids: &[u32], cache: &mut KvCache) -> Result<Tensor> {
        let residual = model.lower(ids, self.layer, cache)?;
        Ok(residual.to_dtype(DType::F32)?)
    }

    fn edited(
        &self,
        residuals: &Residuals,
        edits: &[(Edit, At)],
        kinds: &[TokenKind],
    ) -> Result<Tensor> {
        residuals.edited(&self.crosscoder, CHAT, edits, kinds)
    }

    /// Logits after the last token of a residual [T, D] that the chat model's upper half reads.
    fn last(&self, h: &Tensor, cache: &mut KvCache) -> Result<Vec<f32>> {
        let chat = &self.models[CHAT];
        let blocks = self.layer + 1..chat.config().num_layers;
        let states = chat.blocks(h, blocks, cache)?;
        Ok(chat
            .logits(&states, Logits::Last)?
            .flatten_all()?
            .to_vec1()?)
    }
}
