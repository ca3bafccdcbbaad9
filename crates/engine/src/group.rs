//! Lanes of one model that generate together: one forward pass a token for all of them.

use api::ModelName;
use candle_core::Tensor;
use crosscoder::{Active, Codes, Unedited};
use gemma::KvCache;

use crate::{
    Dictionary, Error, Result, edit,
    lane::{back, host},
    pair::{Pair, in_order, paired},
    places::{Place, Tracker},
    plan::Plan,
    reading::{Readings, Upper},
};

/// Lanes of one model that have read equally many tokens.
///
/// On the CPU a lane's numbers are the same to the bit whatever its company, see [`gemma::Model::caches`]: edits and codes are computed
/// lane by lane, or by products that keep to that.
pub(crate) struct Group<'a> {
    pair: &'a Pair,
    dictionary: &'a Dictionary,
    model: ModelName,
    /// In the order of the cache's sequences.
    lanes: Vec<Lane<'a>>,
    /// The lower half sees plain states, the upper half edited ones.
    cache: KvCache,
    /// The other model's lower half over the tokens of the lanes that need it.
    other: Other,
    /// Tokens that every lane has read.
    read: usize,
}

/// A lane in progress.
struct Lane<'a> {
    number: usize,
    plan: Plan,
    tracker: Tracker<'a>,
}

/// The other model's lower half.
struct Other {
    cache: KvCache,
    /// The numbers of the lanes whose tokens it reads, in the order of the cache's sequences.
    lanes: Vec<usize>,
}

impl<'a> Group<'a> {
    /// The lanes of these numbers and plans, which have room for `capacity` tokens, before they begin. `tracker` has read the prompt of
    /// `read` tokens.
    pub(crate) fn new(
        pair: &'a Pair,
        dictionary: &'a Dictionary,
        model: ModelName,
        lanes: Vec<(usize, Plan)>,
        tracker: &Tracker<'a>,
        capacity: usize,
    ) -> Self {
        let read = tracker.len();
        let others = lanes.iter().filter(|(_, plan)| plan.needs_other(read));
        let others: Vec<usize> = others.map(|(number, _)| *number).collect();
        let other = pair.model(model.other());
        Self {
            pair,
            dictionary,
            model,
            cache: pair.model(model).caches(lanes.len(), capacity),
            other: Other {
                cache: other.caches(others.len(), capacity),
                lanes: others,
            },
            lanes: lanes
                .into_iter()
                .map(|(number, plan)| Lane {
                    number,
                    plan,
                    tracker: tracker.clone(),
                })
                .collect(),
            read,
        }
    }

    /// The model of its lanes.
    pub(crate) fn model(&self) -> ModelName {
        self.model
    }

    /// The numbers of its lanes, in the order in which they step.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = usize> {
        self.lanes.iter().map(|lane| lane.number)
    }

    /// Gives a lane the prompt: the lower halves' readings, and its upper half.
    pub(crate) fn begin(
        &mut self,
        number: usize,
        readings: &Readings,
        upper: &Upper,
    ) -> Result<()> {
        let sequence = self.numbers().position(|lane| lane == number);
        let sequence = sequence.ok_or_else(|| lost(number))?;
        let own = readings.expect(self.model)?;
        let blocks = self.pair.lower_blocks();
        let cache = &mut self.cache;
        cache.begin(sequence, blocks.clone(), &own.lower, self.read)?;
        let above = self.pair.upper_blocks(self.model);
        cache.begin(sequence, above, &upper.cache, self.read)?;
        if let Some(sequence) = self.other.lanes.iter().position(|lane| *lane == number) {
            let theirs = readings.expect(self.model.other())?;
            let cache = &mut self.other.cache;
            cache.begin(sequence, blocks, &theirs.lower, self.read)?;
        }
        Ok(())
    }

    /// Ends a lane; the last one takes its place in the order.
    pub(crate) fn remove(&mut self, number: usize) -> Result<()> {
        let sequence = self.numbers().position(|lane| lane == number);
        let sequence = sequence.ok_or_else(|| lost(number))?;
        self.cache.remove(sequence)?;
        self.lanes.swap_remove(sequence);
        self.other.remove(number)
    }

    /// Reads one generated token of every lane and gives the logits after them, one lane's V behind another's.
    pub(crate) fn step(&mut self, ids: &[u32]) -> Result<Vec<f32>> {
        if ids.len() != self.lanes.len() {
            return Err(Error::Computation(format!(
                "{} tokens for {} lanes",
                ids.len(),
                self.lanes.len()
            )));
        }
        let (pair, layer) = (self.pair, self.pair.layer);
        let model = pair.model(self.model);
        let residual = model.lower(ids, layer, &mut self.cache)?;
        for lane in &self.lanes {
            if !lane.plan.needs_other(self.read) {
                self.other.remove(lane.number)?;
            }
        }
        let other = self.read_other(ids)?;
        let mut places = Vec::with_capacity(ids.len());
        for (lane, id) in self.lanes.iter_mut().zip(ids) {
            places.extend(lane.tracker.push(&[*id], true));
        }
        self.read += 1;
        let edited = self.edited(&places, &residual, other.as_ref())?;
        let h = edited.as_ref().unwrap_or(&residual);
        let whole = pair.whole(self.model)?;
        let states = whole.blocks(h, pair.upper_blocks(self.model), &mut self.cache)?;
        Ok(whole.logits_apart(&states)?.flatten_all()?.to_vec1()?)
    }

    /// The other model's residuals of the lanes that need them, [M, D]; `None` where none does.
    fn read_other(&mut self, ids: &[u32]) -> Result<Option<Tensor>> {
        let of = |number: &usize| {
            let at = self.lanes.iter().position(|lane| lane.number == *number);
            at.and_then(|at| ids.get(at).copied())
        };
        let theirs: Vec<u32> = self.other.lanes.iter().filter_map(of).collect();
        if theirs.is_empty() {
            return Ok(None);
        }
        let model = self.pair.model(self.model.other());
        let residual = model.lower(&theirs, self.pair.layer, &mut self.other.cache)?;
        Ok(Some(residual))
    }

    /// The lanes' residuals [N, D] after their edits, from the other model's for some of them; `None` where none acts.
    fn edited(
        &self,
        places: &[Place],
        residual: &Tensor,
        other: Option<&Tensor>,
    ) -> Result<Option<Tensor>> {
        let lanes = || self.lanes.iter().zip(places);
        if !lanes().any(|(lane, place)| lane.plan.acts(place)) {
            return Ok(None);
        }
        let coded: Vec<usize> = lanes()
            .filter(|(lane, place)| lane.plan.reads_all(place))
            .map(|(lane, _)| lane.number)
            .collect();
        let codes = match other {
            Some(other) if !coded.is_empty() => self.codes(&coded, residual, other)?,
            _ => Codes::default(),
        };
        let (mut h, theirs) = (host(residual)?, other.map(host).transpose()?);
        let width = h.len() / self.lanes.len().max(1);
        for (row, (lane, place)) in h.chunks_exact_mut(width.max(1)).zip(lanes()) {
            let mine = row.to_vec();
            let of = |all: &[usize]| all.iter().position(|number| *number == lane.number);
            let theirs = theirs.as_ref().zip(of(&self.other.lanes));
            let theirs = theirs.and_then(|(all, at)| all.get(at * width..(at + 1) * width));
            let active: &[Active] = of(&coded).map_or(&[], |at| codes.token(at));
            let token = Unedited {
                residual: in_order(self.model, Some(mine.as_slice()), theirs),
                active,
            };
            edit::apply_to_row(&lane.plan, self.dictionary, place, &token, row)?;
        }
        back(h, residual).map(Some)
    }

    /// The codes of the lanes of these numbers.
    fn codes(&self, coded: &[usize], residual: &Tensor, other: &Tensor) -> Result<Codes> {
        let mine = coded
            .iter()
            .filter_map(|number| self.numbers().position(|lane| lane == *number));
        let theirs = coded
            .iter()
            .filter_map(|number| self.other.lanes.iter().position(|lane| lane == number));
        let pick = |of: &Tensor, rows: Vec<usize>| -> Result<Tensor> {
            let rows: Vec<u32> = rows.into_iter().map(|row| row as u32).collect();
            Ok(of.index_select(&Tensor::new(rows, of.device())?, 0)?)
        };
        let mine = pick(residual, mine.collect())?;
        let theirs = pick(other, theirs.collect())?;
        let [base, chat] = in_order(self.model, &mine, &theirs);
        Ok(self
            .dictionary
            .crosscoder
            .codes_apart(&paired(base, chat)?)?)
    }
}

impl Other {
    /// Forgets a lane, where it is there.
    fn remove(&mut self, number: usize) -> Result<()> {
        if let Some(sequence) = self.lanes.iter().position(|lane| *lane == number) {
            self.cache.remove(sequence)?;
            self.lanes.swap_remove(sequence);
        }
        Ok(())
    }
}

fn lost(number: usize) -> Error {
    Error::Computation(format!("lane {number} is not among those that generate"))
}
