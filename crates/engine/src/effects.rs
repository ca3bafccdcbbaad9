//! Lanes under teacher forcing: what edits do to the prediction at every position of a given sequence.

use api::{EffectsRequest, EffectsResponse, LaneEffects, ModelName};
use rayon::prelude::*;

use crate::{
    Error, Result,
    lane::{LaneRun, Prefill},
    next::{self, Hidden},
    pair::Pair,
    plan::{Extent, Plan},
    prompt,
};

/// A request that can be served.
pub(crate) struct EffectsJob {
    dictionary: String,
    ids: Vec<u32>,
    /// How many of the last ones count as generated.
    generated: usize,
    plans: Vec<Plan>,
}

impl EffectsJob {
    /// Checks a request.
    ///
    /// # Errors
    /// As for generating; a listed position must lie in the prompt, and not all of it may count as generated.
    pub(crate) fn new(request: &EffectsRequest, pair: &Pair) -> Result<Self> {
        let dictionary = pair.dictionary(&request.dictionary)?;
        pair.check_lanes(&request.lanes)?;
        let ids = pair.encode(&request.prompt)?;
        let generated = request.generated;
        if generated >= ids.len() {
            return Err(Error::invalid(format!(
                "generated is {generated}; expected less than the prompt's {} tokens",
                ids.len()
            )));
        }
        let extent = Extent {
            prompt: ids.len() - generated,
            new: generated,
        };
        let plans = request
            .lanes
            .iter()
            .map(|lane| Plan::new(lane, dictionary, extent))
            .collect::<Result<_>>()?;
        Ok(Self {
            dictionary: request.dictionary.clone(),
            ids,
            generated,
            plans,
        })
    }

    /// Computes the answer. The references are the unedited models.
    pub(crate) fn run(&self, pair: &Pair) -> Result<EffectsResponse> {
        let references = [
            self.reference(pair, ModelName::Base)?,
            self.reference(pair, ModelName::Chat)?,
        ];
        let mut prefill = Prefill::run(pair, &self.ids, &self.plans, self.ids.len())?;
        let lanes = self
            .plans
            .iter()
            .map(|plan| self.lane(pair, plan, &mut prefill, &references))
            .collect::<Result<_>>()?;
        Ok(EffectsResponse {
            tokens: prompt::describe(&self.ids, &pair.tokenizer),
            lanes,
        })
    }

    /// An unedited model over the sequence.
    fn reference<'a>(&self, pair: &'a Pair, model: ModelName) -> Result<Hidden<'a>> {
        let mut cache = pair.model(model).cache(self.ids.len());
        let residual = pair.lower(model, &self.ids, &mut cache)?;
        Hidden::run(pair, model, &residual, &mut cache)
    }

    fn lane(
        &self,
        pair: &Pair,
        plan: &Plan,
        prefill: &mut Prefill,
        references: &[Hidden; 2],
    ) -> Result<LaneEffects> {
        let dictionary = pair.dictionary(&self.dictionary)?;
        let hidden =
            LaneRun::start(pair, dictionary, plan, prefill, (&self.ids, self.generated))?.1;
        let mut effects = LaneEffects {
            kl_from_chat: Vec::with_capacity(self.ids.len()),
            kl_from_base: Vec::with_capacity(self.ids.len()),
            top: Vec::with_capacity(self.ids.len()),
        };
        for (from, count) in next::chunks(self.ids.len(), pair.vocab_size()) {
            let base = references[0].logits(from, count)?;
            let chat = references[1].logits(from, count)?;
            let lane = hidden.logits(from, count)?;
            let rows: Vec<_> = lane
                .par_iter()
                .zip(base.par_iter().zip(&chat))
                .map(|(lane, (base, chat))| {
                    let top = next::most_probable(lane, &pair.tokenizer);
                    let kl = |reference: &[f32]| diffing::kl(reference, lane) as f32;
                    (kl(chat), kl(base), top)
                })
                .collect();
            for (from_chat, from_base, top) in rows {
                effects.kl_from_chat.push(from_chat);
                effects.kl_from_base.push(from_base);
                effects.top.push(top);
            }
        }
        Ok(effects)
    }
}
