//! The latents that explain the two models' difference at one token: each moved alone into the chat model on base's residual.

use api::{ExplainRequest, ExplainResponse, ExplainedLatent, MAX_EXPLAINED, ModelName};
use candle_core::{DType, Tensor};
use crosscoder::{Active, Crosscoder};
use gemma::Logits;
use rayon::prelude::*;

use crate::{
    Error, Result,
    next::Hidden,
    pair::{Pair, paired},
    pass::Pass,
    reading::Readings,
    turns::Turns,
};

/// A request that can be served.
pub(crate) struct ExplainJob {
    dictionary: String,
    /// The prompt up to the token, which is the last: what comes after has no part in its prediction.
    ids: Vec<u32>,
    limit: usize,
}

/// An active latent, and what moving it from base to chat adds to the residual.
struct Moved {
    active: Active,
    shift: Vec<f32>,
    length: f32,
}

impl ExplainJob {
    /// Checks a request.
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`], or [`Error::Invalid`] for a bad prompt, a position outside it or a limit out of range.
    pub(crate) fn new(request: &ExplainRequest, pair: &Pair) -> Result<Self> {
        pair.dictionary(&request.dictionary)?;
        if request.limit == 0 || request.limit > MAX_EXPLAINED {
            return Err(Error::invalid(format!(
                "limit is {}, expected 1 to {MAX_EXPLAINED}",
                request.limit
            )));
        }
        let mut ids = pair.encode(&request.prompt)?;
        if request.token >= ids.len() {
            return Err(Error::invalid(format!(
                "token is {}, but the prompt has {} tokens, numbered from 0",
                request.token,
                ids.len()
            )));
        }
        ids.truncate(request.token + 1);
        Ok(Self {
            dictionary: request.dictionary.clone(),
            ids,
            limit: request.limit,
        })
    }

    /// Computes the answer: the prompt before the token is read once, the token itself in all its variants at once.
    pub(crate) fn run(&self, pair: &Pair, turns: &Turns<'_>) -> Result<ExplainResponse> {
        let crosscoder = &pair.dictionary(&self.dictionary)?.crosscoder;
        let chat_model = pair.model(ModelName::Chat);
        let token = self.ids.len().saturating_sub(1);
        let readings = Readings::of_both(pair, &self.ids, turns)?;
        let base = &readings.expect(ModelName::Base)?.residual;
        let chat = readings.expect(ModelName::Chat)?;
        let upper = chat.upper(pair, turns)?;
        let reference = Hidden::new(pair, ModelName::Chat, &upper).last_logits()?;
        let chat = &chat.residual;

        let here = |residual: &Tensor| residual.narrow(0, token, 1);
        let codes = crosscoder.codes(&paired(&here(base)?, &here(chat)?)?)?;
        let active = codes.token(0);
        let mut moved = moves(crosscoder, active);
        moved.truncate(self.limit);

        let h: Vec<f32> = here(base)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let mut all = h.clone();
        let to = ModelName::Chat.index();
        crosscoder.add_difference(active, |_| true, to, 1.0, &mut all);
        let mut rows = [h.clone(), all].concat();
        for latent in &moved {
            rows.extend(h.iter().zip(&latent.shift).map(|(h, shift)| h + shift));
        }
        let rows = Tensor::from_vec(rows, (moved.len() + 2, h.len()), base.device())?;

        let prefix = if token > 0 {
            let before = base.narrow(0, 0, token)?;
            Pass::upper(pair, ModelName::Chat, &before, None)?
                .end(pair, turns)?
                .1
        } else {
            chat_model.cache(self.ids.len())
        };
        turns.pause()?;
        let states = chat_model.alternatives(&rows, pair.layer, &prefix)?;
        let logits: Vec<Vec<f32>> = chat_model.logits(&states, Logits::All)?.to_vec2()?;
        let divergences: Vec<f32> = logits
            .par_iter()
            .map(|lane| diffing::kl(&reference, lane) as f32)
            .collect();
        let &[kl_before, kl_all, ref after @ ..] = divergences.as_slice() else {
            return Err(Error::Computation("a variant was lost".into()));
        };
        let latents = moved.iter().zip(after).map(|(latent, kl)| ExplainedLatent {
            id: latent.active.id,
            value: latent.active.v,
            contribution: latent.length,
            kl_after: *kl,
        });
        Ok(ExplainResponse {
            token,
            active: active.len(),
            kl_before,
            kl_all,
            latents: latents.collect(),
        })
    }
}

/// The active latents by how far moving each shifts the residual, furthest first, then by id.
fn moves(crosscoder: &Crosscoder, active: &[Active]) -> Vec<Moved> {
    let mut moved: Vec<Moved> = active
        .par_iter()
        .map(|active| {
            let mut shift = vec![0.0; crosscoder.activation_dim()];
            let one = std::slice::from_ref(active);
            let to = ModelName::Chat.index();
            crosscoder.add_difference(one, |_| true, to, 1.0, &mut shift);
            Moved {
                active: *active,
                length: diffing::norm(&shift),
                shift,
            }
        })
        .collect();
    moved.sort_by(|a, b| {
        b.length
            .total_cmp(&a.length)
            .then(a.active.id.cmp(&b.active.id))
    });
    moved
}
