//! One prompt through both models and one dictionary.

use std::sync::Arc;

use api::{
    ActivationsRequest, ActivationsResponse, LatentSet, LatentValues, ModelName, NextTokens,
    TopLatent,
};
use candle_core::Tensor;
use crosscoder::Codes;
use rayon::prelude::*;

use crate::{
    Dictionary, Error, Result,
    coding::Coding,
    next::{self, Hidden},
    pair::{Pair, paired},
    prompt,
    reading::{Reading, Readings},
    turns::Turns,
};

/// Most values that one answer may carry per array: tokens × latents.
pub(crate) const MAX_VALUES: usize = 4_194_304;

/// Most latents named per token.
const MAX_TOP: usize = 64;

/// A request that can be served.
pub(crate) struct ActivationsJob {
    dictionary: String,
    ids: Vec<u32>,
    latents: Vec<u32>,
    top_k: usize,
    /// Whether the base model's predictions are wanted, and so its upper half.
    kl: bool,
}

impl ActivationsJob {
    /// Checks a request.
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`], or [`Error::Invalid`] for a bad prompt, an unknown latent or too large an answer.
    pub(crate) fn new(request: &ActivationsRequest, pair: &Pair) -> Result<Self> {
        let dictionary = pair.dictionary(&request.dictionary)?;
        if request.top_k > MAX_TOP {
            return Err(Error::invalid(format!(
                "top_k is {}, at most {MAX_TOP} latents are named per token",
                request.top_k
            )));
        }
        let ids = pair.encode(&request.prompt)?;
        let latents = match &request.latents {
            LatentSet::All => (0..dictionary.len() as u32).collect(),
            LatentSet::Ids(latents) => {
                for &id in latents {
                    dictionary.check_latent(id)?;
                }
                latents.clone()
            }
        };
        if ids.len() * latents.len() > MAX_VALUES {
            return Err(Error::invalid(format!(
                "{} tokens × {} latents are more than {MAX_VALUES} values; ask for fewer latents or a shorter prompt",
                ids.len(),
                latents.len()
            )));
        }
        Ok(Self {
            dictionary: request.dictionary.clone(),
            ids,
            latents,
            top_k: request.top_k,
            kl: request.kl,
        })
    }

    /// Computes the answer.
    pub(crate) fn run(&self, pair: &Pair, turns: &Turns<'_>) -> Result<ActivationsResponse> {
        let dictionary = pair.dictionary(&self.dictionary)?;
        let readings = Readings::of_both(pair, &self.ids, turns)?;
        let base = readings.expect(ModelName::Base)?;
        let chat = readings.expect(ModelName::Chat)?;
        let residuals = [&base.residual, &chat.residual];
        let codes = Coding::new(residuals, pair.limits.read_at_once).end(dictionary, turns)?;
        let top = (0..self.ids.len())
            .map(|token| {
                let top = codes.top(token, self.top_k);
                top.into_iter()
                    .map(|(id, value)| TopLatent { id, value })
                    .collect()
            })
            .collect();
        let latents = self.halves(dictionary, residuals, &codes)?;
        let whole = |model: ModelName, reading: &Arc<Reading>| -> Result<_> {
            let upper = reading.upper(pair, turns)?;
            Ok(Hidden::new(pair, model, &upper))
        };
        let of_base = self.kl.then(|| whole(ModelName::Base, base)).transpose()?;
        let of_chat = whole(ModelName::Chat, chat)?;
        let mut kl_chat_base = self.kl.then(|| Vec::with_capacity(self.ids.len()));
        let mut next = Vec::with_capacity(self.ids.len());
        for (from, count) in next::chunks(self.ids.len(), pair.vocab_size()) {
            turns.pause()?;
            let base = of_base.as_ref().map(|base| base.logits(from, count));
            let base = base.transpose()?.unwrap_or_default();
            let chat = of_chat.logits(from, count)?;
            let rows: Vec<_> = chat
                .par_iter()
                .enumerate()
                .map(|(row, chat)| {
                    let base = base.get(row);
                    let next = NextTokens {
                        base: base.map(|base| next::most_probable(base, &pair.tokenizer)),
                        chat: next::most_probable(chat, &pair.tokenizer),
                    };
                    (base.map(|base| diffing::kl(chat, base) as f32), next)
                })
                .collect();
            for (kl, tokens) in rows {
                if let Some(all) = &mut kl_chat_base {
                    all.extend(kl);
                }
                next.push(tokens);
            }
        }
        Ok(ActivationsResponse {
            tokens: prompt::describe(&self.ids, &pair.tokenizer),
            latents,
            top,
            kl_chat_base,
            next,
        })
    }

    /// Values and halves of the latents asked for. The values come from the same encoding as `top`, so that both agree to the bit.
    fn halves(
        &self,
        dictionary: &Dictionary,
        [base, chat]: [&Tensor; 2],
        codes: &Codes,
    ) -> Result<Vec<LatentValues>> {
        if self.latents.is_empty() {
            return Ok(Vec::new());
        }
        let x = paired(base, chat)?;
        let halves = dictionary.crosscoder.halves(&x, &self.latents)?;
        let parts = halves.base.into_par_iter().zip(halves.chat);
        Ok(self
            .latents
            .par_iter()
            .zip(parts)
            .map(|(&id, (base, chat))| LatentValues {
                id,
                values: codes.values(id),
                base,
                chat,
            })
            .collect())
    }
}
