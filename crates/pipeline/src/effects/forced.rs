//! One dialogue under teacher forcing: every lane's predictions at the positions that count.

use candle_core::{DType, Tensor};
use crosscoder::Crosscoder;
use diffing::{Effect, Prediction, Reference};
use gemma::{KvCache, Logits, Model, TokenKind};
use rayon::prelude::*;

use super::setups::Lane;
use crate::Result;
use crate::edited::Residuals;

/// Most logits held at once for one dialogue, in numbers, all lanes together.
const CHUNK_NUMBERS: usize = 16_384_000;

/// Both models and a dictionary.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) models: &'a [Model; 2],
    /// Output of this 0-based block is edited.
    pub(super) layer: usize,
    pub(super) crosscoder: &'a Crosscoder,
}

impl Pair<'_> {
    /// The metrics of every lane at every position, \[lanes\]\[positions\]. The first two lanes are the unedited base and chat model,
    /// which the others are compared with. NaN for the losses at the last position, which predicts nothing.
    pub(super) fn effects(
        &self,
        lanes: &[Lane],
        ids: &[u32],
        kinds: &[TokenKind],
        positions: &[usize],
    ) -> Result<Vec<Vec<Effect>>> {
        let residuals = self.residuals(ids)?;
        let mut caches = self.models.each_ref().map(|model| model.cache(ids.len()));
        let states = lanes
            .iter()
            .map(|lane| self.states(lane, &residuals, kinds, positions, &mut caches))
            .collect::<Result<Vec<_>>>()?;
        let vocabulary = self.models[0].config().vocab_size;
        let step = (CHUNK_NUMBERS / (vocabulary * lanes.len()).max(1)).max(1);
        let mut effects = vec![Vec::with_capacity(positions.len()); lanes.len()];
        for (from, chunk) in (0..).step_by(step).zip(positions.chunks(step)) {
            let logits = self.logits(lanes, &states, from, chunk.len())?;
            let at: Vec<Vec<Effect>> = chunk
                .par_iter()
                .enumerate()
                .map(|(row, &position)| {
                    let rows: Vec<&[f32]> = logits
                        .iter()
                        .map(|lane| {
                            let all = lane.chunks_exact(vocabulary).nth(row);
                            all.unwrap_or_default()
                        })
                        .collect();
                    compare(&rows, ids.get(position + 1).copied())
                })
                .collect();
            for row in at {
                for (lane, effect) in effects.iter_mut().zip(row) {
                    lane.push(effect);
                }
            }
        }
        Ok(effects)
    }

    /// Both lower halves and the code of the unedited pair.
    fn residuals(&self, ids: &[u32]) -> Result<Residuals> {
        let lower = |model: &Model| -> Result<Tensor> {
            let mut cache = model.cache(ids.len());
            let residual = model.lower(ids, self.layer, &mut cache)?;
            Ok(residual.to_dtype(DType::F32)?)
        };
        let [base, chat] = self.models;
        Residuals::new(self.crosscoder, [Some(lower(base)?), Some(lower(chat)?)])
    }

    /// A lane's last hidden states at the positions, \[P, D\].
    fn states(
        &self,
        lane: &Lane,
        residuals: &Residuals,
        kinds: &[TokenKind],
        positions: &[usize],
        caches: &mut [KvCache; 2],
    ) -> Result<Tensor> {
        let model = &self.models[lane.model];
        let h = residuals.edited(self.crosscoder, lane.model, &lane.edits, kinds)?;
        let cache = &mut caches[lane.model];
        cache.truncate(0);
        let blocks = self.layer + 1..model.config().num_layers;
        let states = model.blocks(&h.to_dtype(model.dtype())?, blocks, cache)?;
        let positions: Vec<u32> = positions.iter().map(|&p| p as u32).collect();
        let positions = Tensor::new(positions, states.device())?;
        Ok(states.index_select(&positions, 0)?)
    }

    /// Logits of `count` positions from the `from`th, \[lanes\]\[count·V\]: one product per model for all its lanes, so that the head is
    /// read once.
    fn logits(
        &self,
        lanes: &[Lane],
        states: &[Tensor],
        from: usize,
        count: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let mut logits = vec![Vec::new(); lanes.len()];
        for (m, model) in self.models.iter().enumerate() {
            let mine: Vec<usize> = (0..lanes.len()).filter(|&l| lanes[l].model == m).collect();
            let rows = mine
                .iter()
                .map(|&l| states[l].narrow(0, from, count))
                .collect::<candle_core::Result<Vec<_>>>()?;
            if rows.is_empty() {
                continue;
            }
            let all = model.logits(&Tensor::cat(&rows, 0)?, Logits::All)?;
            let all: Vec<f32> = all.flatten_all()?.to_vec1()?;
            for (&l, rows) in mine.iter().zip(all.chunks((all.len() / mine.len()).max(1))) {
                logits[l] = rows.to_vec();
            }
        }
        Ok(logits)
    }
}

/// Metrics of every lane at one position from its logits \[lanes\]\[V\]; `next` is the token that follows.
fn compare(rows: &[&[f32]], next: Option<u32>) -> Vec<Effect> {
    let &[base, chat, ..] = rows else {
        return Vec::new();
    };
    let [base, chat] = [Reference::new(base), Reference::new(chat)];
    rows.iter()
        .map(|logits| {
            let prediction = Prediction::new(logits);
            Effect {
                kl_from_chat: chat.kl(&prediction),
                kl_from_base: base.kl(&prediction),
                loss: next.map_or(f64::NAN, |id| prediction.loss(id as usize)),
                loss_to_chat: prediction.loss(chat.best()),
            }
        })
        .collect()
}
