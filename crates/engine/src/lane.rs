//! Lanes over a prompt: which of them read it alike, and the upper half over its edited residual.

use std::sync::Arc;

use api::ModelName;
use candle_core::{DType, Tensor};
use crosscoder::{Codes, Edit};

use crate::{
    Dictionary, Result,
    coding::Coding,
    edit::{self, Rows},
    pair::{Pair, in_order},
    places::Place,
    plan::Plan,
    reading::{Read, Readings, Upper, UpperWork},
    turns::Turns,
};

/// A plan's edits of some tokens, each with the positions at which it acts.
fn edits<'a>(plan: &'a Plan, places: &[Place]) -> Vec<(&'a Edit, Vec<usize>)> {
    let acting = plan.ops.iter().map(|op| {
        let here = places.iter().filter(|place| place.is_in(&op.positions));
        (&op.edit, here.map(|place| place.index).collect())
    });
    acting
        .filter(|(_, here): &(_, Vec<_>)| !here.is_empty())
        .collect()
}

/// The numbers of the lanes that read these places alike, because model and edits there are the same; sets by their first lane.
pub(crate) fn alike(plans: &[Plan], places: &[Place]) -> Vec<Vec<usize>> {
    let mut sets: Vec<(_, Vec<usize>)> = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        let reads = (plan.model, edits(plan, places));
        match sets.iter_mut().find(|(known, _)| *known == reads) {
            Some((_, lanes)) => lanes.push(number),
            None => sets.push((reads, vec![number])),
        }
    }
    sets.into_iter().map(|(_, lanes)| lanes).collect()
}

/// The whole dictionary's codes, which are needed before any of the plans' edits; `None` where no edit reads them.
pub(crate) fn to_code(
    pair: &Pair,
    plans: &[Plan],
    places: &[Place],
    readings: &Readings,
) -> Option<Coding> {
    let coded = |plan: &Plan| places.iter().any(|place| plan.reads_all(place));
    let [Some(base), Some(chat)] = ModelName::BOTH.map(|model| readings.get(model)) else {
        return None;
    };
    if !plans.iter().any(coded) {
        return None;
    }
    let residuals = [&base.residual, &chat.residual];
    Some(Coding::new(residuals, pair.limits.read_at_once))
}

/// The upper half of the plan's model over the prompt with the plan's edits, or what makes it. `codes` are those of [`to_code`].
pub(crate) fn begin_upper(
    pair: &Pair,
    dictionary: &Dictionary,
    plan: &Plan,
    places: &[Place],
    readings: &Readings,
    codes: &Codes,
) -> Result<Read<Upper, UpperWork>> {
    match edited(dictionary, plan, places, readings, codes)? {
        None => readings.expect(plan.model)?.begin_upper(pair),
        Some(residual) => UpperWork::edited(pair, plan.model, &residual).map(Read::Under),
    }
}

/// As [`to_code`], made now; none where no edit reads them.
pub(crate) fn codes(
    pair: &Pair,
    dictionary: &Dictionary,
    plans: &[Plan],
    places: &[Place],
    readings: &Readings,
    turns: &Turns<'_>,
) -> Result<Codes> {
    match to_code(pair, plans, places, readings) {
        Some(coding) => coding.end(dictionary, turns),
        None => Ok(Codes::default()),
    }
}

/// As [`begin_upper`], made now.
pub(crate) fn upper(
    pair: &Pair,
    dictionary: &Dictionary,
    plan: &Plan,
    places: &[Place],
    readings: &Readings,
    codes: &Codes,
    turns: &Turns<'_>,
) -> Result<Arc<Upper>> {
    match begin_upper(pair, dictionary, plan, places, readings, codes)? {
        Read::Done(upper) => Ok(upper),
        Read::Under(work) => work.end(pair, turns),
    }
}

/// The prompt's residual [T, D] after the plan's edits; `None` when none acts.
fn edited(
    dictionary: &Dictionary,
    plan: &Plan,
    places: &[Place],
    readings: &Readings,
    codes: &Codes,
) -> Result<Option<Tensor>> {
    if !places.iter().any(|place| plan.acts(place)) {
        return Ok(None);
    }
    let residual = &readings.expect(plan.model)?.residual;
    let other = readings.get(plan.model.other()).map(|r| &r.residual);
    let mut h = host(residual)?;
    let mine = h.clone();
    let theirs = other.map(host).transpose()?;
    let unedited = in_order(plan.model, Some(mine.as_slice()), theirs.as_deref());
    let rows = Rows {
        places,
        unedited,
        codes,
    };
    edit::apply(plan, dictionary, &rows, &mut h)?;
    back(h, residual).map(Some)
}

/// A residual as host numbers, f32.
pub(crate) fn host(residual: &Tensor) -> Result<Vec<f32>> {
    Ok(residual.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// Host numbers as a residual like another.
pub(crate) fn back(numbers: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    let tensor = Tensor::from_vec(numbers, like.shape(), like.device())?;
    Ok(tensor.to_dtype(like.dtype())?)
}
