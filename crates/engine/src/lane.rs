//! One lane over one sequence: lower halves, edits, upper half, with the caches that carry them from token to token.

use api::ModelName;
use candle_core::{DType, Tensor};
use crosscoder::Codes;
use gemma::KvCache;

use crate::{
    Dictionary, Result,
    edit::{self, Rows},
    next::Hidden,
    pair::{Pair, paired},
    places::{Place, Tracker},
    plan::Plan,
};

/// What a model's lower half makes of the prompt, once for all lanes that start from it.
pub(crate) struct Lower {
    residual: Tensor,
    cache: KvCache,
}

/// The lower halves of one prompt: base and chat, each run only if some lane needs it.
pub(crate) struct Prefill {
    lower: [Option<Lower>; 2],
    /// How many lanes have yet to take each half; the last one takes the cache itself, the others a copy.
    takers: [usize; 2],
}

impl Prefill {
    /// Runs the lower halves that the plans need on the prompt; caches have room for `capacity` tokens.
    pub(crate) fn run(pair: &Pair, ids: &[u32], plans: &[Plan], capacity: usize) -> Result<Self> {
        let mut takers = [0; 2];
        for plan in plans {
            takers[plan.model.index()] += 1;
            if plan.needs_other(0) {
                takers[plan.model.other().index()] += 1;
            }
        }
        let mut lower = [None, None];
        for name in ModelName::BOTH {
            if takers[name.index()] > 0 {
                let mut cache = pair.model(name).cache(capacity);
                let residual = pair.lower(name, ids, &mut cache)?;
                lower[name.index()] = Some(Lower { residual, cache });
            }
        }
        Ok(Self { lower, takers })
    }

    /// Hands a lane its half.
    fn take(&mut self, model: ModelName) -> Result<Option<Lower>> {
        let m = model.index();
        self.takers[m] = self.takers[m].saturating_sub(1);
        if self.takers[m] == 0 {
            return Ok(self.lower[m].take());
        }
        self.lower[m]
            .as_ref()
            .map(|lower| {
                Ok(Lower {
                    residual: lower.residual.clone(),
                    cache: lower.cache.deep_copy()?,
                })
            })
            .transpose()
    }
}

/// A lane in progress.
pub(crate) struct LaneRun<'a> {
    pair: &'a Pair,
    dictionary: &'a Dictionary,
    plan: Plan,
    tracker: Tracker<'a>,
    /// Cache of the lane's model: its lower half sees plain states, its upper half edited ones.
    cache: KvCache,
    /// Cache of the other model's lower half, while edits still need it.
    other: Option<KvCache>,
}

impl<'a> LaneRun<'a> {
    /// Reads the prompt, the last so many of whose tokens count as generated, and returns the last hidden states over it.
    pub(crate) fn start(
        pair: &'a Pair,
        dictionary: &'a Dictionary,
        plan: &Plan,
        prefill: &mut Prefill,
        (ids, generated): (&[u32], usize),
    ) -> Result<(Self, Hidden<'a>)> {
        let own = prefill.take(plan.model)?;
        let other = if plan.needs_other(0) {
            prefill.take(plan.model.other())?
        } else {
            None
        };
        let own =
            own.ok_or_else(|| candle_core::Error::Msg("a lane's lower half is missing".into()))?;
        let (other_residual, other_cache) = match other {
            Some(lower) => (Some(lower.residual), Some(lower.cache)),
            None => (None, None),
        };
        let mut lane = Self {
            pair,
            dictionary,
            plan: plan.clone(),
            tracker: Tracker::new(&pair.tokenizer),
            cache: own.cache,
            other: other_cache,
        };
        let (prompt, answer) = ids.split_at(ids.len().saturating_sub(generated));
        let mut places = lane.tracker.push(prompt, false);
        places.extend(lane.tracker.push(answer, true));
        let hidden = lane.upper(&places, &own.residual, other_residual.as_ref())?;
        Ok((lane, hidden))
    }

    /// The lane's model.
    pub(crate) fn model(&self) -> ModelName {
        self.plan.model
    }

    /// Reads one generated token and returns the last hidden state on it.
    pub(crate) fn step(&mut self, id: u32) -> Result<Hidden<'a>> {
        let position = self.tracker.len();
        let model = self.plan.model;
        let residual = self.pair.lower(model, &[id], &mut self.cache)?;
        if !self.plan.needs_other(position) {
            self.other = None;
        }
        let other = match &mut self.other {
            Some(cache) => Some(self.pair.lower(model.other(), &[id], cache)?),
            None => None,
        };
        let places = self.tracker.push(&[id], true);
        self.upper(&places, &residual, other.as_ref())
    }

    /// Edits the residual and runs the lane's upper half on it.
    fn upper(
        &mut self,
        places: &[Place],
        residual: &Tensor,
        other: Option<&Tensor>,
    ) -> Result<Hidden<'a>> {
        let edited = self.edited(places, residual, other)?;
        let h = edited.as_ref().unwrap_or(residual);
        Hidden::run(self.pair, self.plan.model, h, &mut self.cache)
    }

    /// The residual after the plan's edits; `None` when none acts on these places.
    fn edited(
        &self,
        places: &[Place],
        residual: &Tensor,
        other: Option<&Tensor>,
    ) -> Result<Option<Tensor>> {
        let acts = |place: &Place| self.plan.ops.iter().any(|op| place.is_in(&op.positions));
        if !places.iter().any(acts) {
            return Ok(None);
        }
        let own = self.plan.model.index();
        let first = places.first().map_or(0, |place| place.index);
        let codes = match (self.plan.needs_codes(first), other) {
            (true, Some(other)) => {
                let pair = if own == 0 {
                    [residual, other]
                } else {
                    [other, residual]
                };
                let x = paired(pair[0], pair[1])?;
                self.dictionary.crosscoder.codes(&x)?
            }
            _ => Codes::default(),
        };
        let mut h = host(residual)?;
        let mine = h.clone();
        let theirs = other.map(host).transpose()?;
        let unedited = if own == 0 {
            [Some(mine.as_slice()), theirs.as_deref()]
        } else {
            [theirs.as_deref(), Some(mine.as_slice())]
        };
        let rows = Rows {
            places,
            unedited,
            codes: &codes,
        };
        edit::apply(&self.plan, self.dictionary, &rows, &mut h);
        let edited = Tensor::from_vec(h, residual.shape(), residual.device())?;
        Ok(Some(edited.to_dtype(residual.dtype())?))
    }
}

/// A residual as host numbers, f32.
fn host(residual: &Tensor) -> Result<Vec<f32>> {
    Ok(residual.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}
