//! What a model makes of a prompt without edits, once for everything that asks.

use std::sync::{Arc, OnceLock, Weak};

use api::ModelName;
use candle_core::Tensor;
use gemma::KvCache;

use crate::{Error, Result, pair::Pair, pass::Pass, plan::Plan, turns::Turns};

/// A model's lower half over a prompt, and its upper half once that is asked for.
///
/// A prompt is read in pieces of [`crate::Limits::read_at_once`] tokens from its beginning on. So a piece that two prompts share is the
/// same product of the same rows in both, and what is taken from an earlier reading has the bits that reading it again would give.
pub(crate) struct Reading {
    model: ModelName,
    ids: Vec<u32>,
    /// [T, D], after the study's layer.
    pub residual: Tensor,
    /// The prompt's keys and values in the blocks up to that layer.
    pub lower: KvCache,
    upper: OnceLock<Arc<Upper>>,
    begun: Option<Begun>,
}

/// An earlier reading that begins alike, and how many tokens of it were taken.
type Begun = (Weak<Reading>, usize);

/// A model's upper half over a prompt.
pub(crate) struct Upper {
    /// The last block's output [T, D].
    pub states: Tensor,
    /// The prompt's keys and values in the blocks after the study's layer.
    pub cache: KvCache,
}

/// Something that is there, or what makes it, a piece of the prompt at a time.
pub(crate) enum Read<T, W> {
    /// There.
    Done(Arc<T>),
    /// Under way.
    Under(W),
}

/// A reading under way.
pub(crate) struct LowerWork {
    model: ModelName,
    ids: Vec<u32>,
    begun: Option<Begun>,
    pass: Pass,
}

impl LowerWork {
    /// Reads a prompt, but for so many tokens with which an earlier reading begins alike.
    pub(crate) fn new(
        pair: &Pair,
        model: ModelName,
        ids: &[u32],
        begun: Option<(&Arc<Reading>, usize)>,
    ) -> Result<Self> {
        let known = begun.map(|(reading, shared)| (&**reading, shared));
        Ok(Self {
            model,
            ids: ids.to_vec(),
            begun: begun.map(|(reading, shared)| (Arc::downgrade(reading), shared)),
            pass: Pass::lower(pair, model, ids, known)?,
        })
    }

    /// As [`Pass::step`].
    pub(crate) fn step(&mut self, pair: &Pair) -> Result<bool> {
        self.pass.step(pair)
    }

    /// Runs what is left.
    pub(crate) fn end(self, pair: &Pair, turns: &Turns<'_>) -> Result<Arc<Reading>> {
        let (residual, lower) = self.pass.end(pair, turns)?;
        let reading = Arc::new(Reading {
            model: self.model,
            ids: self.ids,
            residual,
            lower,
            upper: OnceLock::new(),
            begun: self.begun,
        });
        pair.kept.keep(self.model, &reading);
        Ok(reading)
    }
}

/// An upper half under way.
pub(crate) struct UpperWork {
    pass: Pass,
    /// Whose it is, where no edit makes it a lane's own.
    plain: Option<Arc<Reading>>,
}

impl UpperWork {
    /// Runs a model's upper half on an edited residual [T, D].
    pub(crate) fn edited(pair: &Pair, model: ModelName, residual: &Tensor) -> Result<Self> {
        Ok(Self {
            pass: Pass::upper(pair, model, residual, None)?,
            plain: None,
        })
    }

    /// As [`Pass::tokens`].
    pub(crate) fn tokens(&self) -> usize {
        self.pass.tokens()
    }

    /// As [`Pass::step`].
    pub(crate) fn step(&mut self, pair: &Pair) -> Result<bool> {
        self.pass.step(pair)
    }

    /// Runs what is left.
    pub(crate) fn end(self, pair: &Pair, turns: &Turns<'_>) -> Result<Arc<Upper>> {
        let (states, cache) = self.pass.end(pair, turns)?;
        let upper = Arc::new(Upper { states, cache });
        let Some(reading) = self.plain else {
            return Ok(upper);
        };
        let upper = Arc::clone(reading.upper.get_or_init(|| upper));
        pair.kept.trim(reading.model);
        Ok(upper)
    }
}

impl Reading {
    /// The prompt's tokens.
    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The upper half, or what makes it.
    pub(crate) fn begin_upper(self: &Arc<Self>, pair: &Pair) -> Result<Read<Upper, UpperWork>> {
        if let Some(upper) = self.upper.get() {
            return Ok(Read::Done(Arc::clone(upper)));
        }
        // What the earlier reading's upper half made of the tokens that both share, where that is still there.
        let known = self.begun.as_ref().and_then(|(known, shared)| {
            let upper = known.upgrade()?.upper.get().map(Arc::clone)?;
            Some((upper, *shared))
        });
        let begun = known.as_ref().map(|(upper, shared)| (&**upper, *shared));
        Ok(Read::Under(UpperWork {
            pass: Pass::upper(pair, self.model, &self.residual, begun)?,
            plain: Some(Arc::clone(self)),
        }))
    }

    /// The upper half, run now unless it was before.
    pub(crate) fn upper(self: &Arc<Self>, pair: &Pair, turns: &Turns<'_>) -> Result<Arc<Upper>> {
        match self.begin_upper(pair)? {
            Read::Done(upper) => Ok(upper),
            Read::Under(work) => work.end(pair, turns),
        }
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> u64 {
        let numbers = |t: &Tensor| (t.elem_count() * t.dtype().size_in_bytes()) as u64;
        let upper = |upper: &Arc<Upper>| numbers(&upper.states) + upper.cache.bytes();
        numbers(&self.residual) + self.lower.bytes() + self.upper.get().map_or(0, upper)
    }
}

/// One prompt's readings by base and chat.
#[derive(Default)]
pub(crate) struct Readings([Option<Arc<Reading>>; 2]);

impl Readings {
    /// By both models.
    pub(crate) fn of_both(pair: &Pair, ids: &[u32], turns: &Turns<'_>) -> Result<Self> {
        let mut readings = Self::default();
        for model in ModelName::BOTH {
            readings.put(pair.read(model, ids, turns)?);
            turns.pause()?;
        }
        Ok(readings)
    }

    /// A model that has not read the prompt though some lane needs it, as its own or for the code.
    pub(crate) fn missing(&self, plans: &[Plan]) -> Option<ModelName> {
        let needs = |model: ModelName| {
            let own = |plan: &Plan| plan.model == model || plan.needs_other(0);
            plans.iter().any(own)
        };
        let read = |model: &ModelName| self.0[model.index()].is_some();
        ModelName::BOTH
            .into_iter()
            .find(|model| !read(model) && needs(*model))
    }

    /// Adds a model's reading.
    pub(crate) fn put(&mut self, reading: Arc<Reading>) {
        let model = reading.model.index();
        self.0[model] = Some(reading);
    }

    /// A model's reading, where there is one.
    pub(crate) fn get(&self, model: ModelName) -> Option<&Arc<Reading>> {
        self.0[model.index()].as_ref()
    }

    /// A model's reading, which must be there.
    pub(crate) fn expect(&self, model: ModelName) -> Result<&Arc<Reading>> {
        let lost = || Error::Computation("a model's reading of the prompt is missing".into());
        self.get(model).ok_or_else(lost)
    }
}
