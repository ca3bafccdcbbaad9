//! Lanes under teacher forcing: what edits do to the prediction at every position of a given sequence.

use api::{EffectsRequest, EffectsResponse, LaneEffects, ModelName};
use rayon::prelude::*;

use crate::{
    Error, Result, lane,
    next::{self, Hidden},
    pair::Pair,
    places::Tracker,
    plan::{Extent, Plan},
    prompt,
    reading::Readings,
    turns::Turns,
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

    /// Computes the answer. The references are the unedited models; lanes that read the prompt alike are computed once.
    pub(crate) fn run(&self, pair: &Pair, turns: &Turns<'_>) -> Result<EffectsResponse> {
        let dictionary = pair.dictionary(&self.dictionary)?;
        let readings = Readings::of_both(pair, &self.ids, turns)?;
        let reference = |model| -> Result<_> {
            let upper = readings.expect(model)?.upper(pair, turns)?;
            Ok(Hidden::new(pair, model, &upper))
        };
        let references = [reference(ModelName::Base)?, reference(ModelName::Chat)?];
        let (prompt, answer) = self.ids.split_at(self.ids.len() - self.generated);
        let mut tracker = Tracker::new(&pair.tokenizer);
        let mut places = tracker.push(prompt, false);
        places.extend(tracker.push(answer, true));
        let nothing = LaneEffects {
            kl_from_chat: Vec::new(),
            kl_from_base: Vec::new(),
            top: Vec::new(),
        };
        let mut lanes = vec![nothing; self.plans.len()];
        let mut sets = Vec::new();
        let plans = &self.plans;
        let codes = lane::codes(pair, dictionary, plans, &places, &readings, turns)?;
        for set in lane::alike(&self.plans, &places) {
            let Some(plan) = set.first().and_then(|first| self.plans.get(*first)) else {
                continue;
            };
            let upper = lane::upper(pair, dictionary, plan, &places, &readings, &codes, turns)?;
            turns.pause()?;
            sets.push((set, Hidden::new(pair, plan.model, &upper)));
        }
        drop(codes);
        for (from, count) in next::chunks(self.ids.len(), pair.vocab_size()) {
            turns.pause()?;
            let base = references[0].logits(from, count)?;
            let chat = references[1].logits(from, count)?;
            for (set, hidden) in &sets {
                let rows = against(&hidden.logits(from, count)?, [&base, &chat], pair);
                for lane in set.iter().copied() {
                    if let Some(lane) = lanes.get_mut(lane) {
                        lane.kl_from_chat.extend(&rows.kl_from_chat);
                        lane.kl_from_base.extend(&rows.kl_from_base);
                        lane.top.extend_from_slice(&rows.top);
                    }
                }
            }
        }
        Ok(EffectsResponse {
            tokens: prompt::describe(&self.ids, &pair.tokenizer),
            lanes,
        })
    }
}

/// What some logits [n][V] predict, against those of base and chat.
fn against(lane: &[Vec<f32>], [base, chat]: [&[Vec<f32>]; 2], pair: &Pair) -> LaneEffects {
    let rows: Vec<_> = lane
        .par_iter()
        .zip(base.par_iter().zip(chat))
        .map(|(lane, (base, chat))| {
            let top = next::most_probable(lane, &pair.tokenizer);
            let kl = |reference: &[f32]| diffing::kl(reference, lane) as f32;
            (kl(chat), kl(base), top)
        })
        .collect();
    let mut effects = LaneEffects {
        kl_from_chat: Vec::with_capacity(rows.len()),
        kl_from_base: Vec::with_capacity(rows.len()),
        top: Vec::with_capacity(rows.len()),
    };
    for (from_chat, from_base, top) in rows {
        effects.kl_from_chat.push(from_chat);
        effects.kl_from_base.push(from_base);
        effects.top.push(top);
    }
    effects
}
