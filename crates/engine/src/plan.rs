//! Turns a lane's interventions into edits that are known to be possible, and says what computing them needs.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use api::{ClampUnit, Intervention, LatentSet, LatentStrength, ModelName, Positions, StrengthUnit};
use crosscoder::{Active, Chosen, Edit, Few};

use crate::{
    Dictionary, Error, Result,
    places::{self, Place},
};

/// Most latents of an edit whose codes are made one by one; for more, or all, those of the whole dictionary are.
const FEW: usize = 64;

/// An edit and where it acts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Op {
    pub edit: Edit,
    pub positions: Positions,
    codes: Source,
    /// Number of leading positions outside which it does not act.
    reach: usize,
}

/// Where the codes that an edit reads come from.
#[derive(Clone, Debug, PartialEq)]
enum Source {
    /// It reads none.
    Nowhere,
    /// Its own few latents' part of the encoder, once [`Plan::prepare`] has read that.
    Few(Vec<u32>, Arc<OnceLock<Few>>),
    /// The whole dictionary's codes.
    All,
}

impl Source {
    fn of(edit: &Edit) -> Self {
        match edit.reads() {
            Chosen::Ids(ids) if ids.is_empty() => Self::Nowhere,
            Chosen::Ids(ids) if ids.len() <= FEW => Self::Few(ids, Arc::default()),
            Chosen::Ids(_) | Chosen::All => Self::All,
        }
    }
}

/// A lane's edits in order; those that change nothing are left out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// The lane's model.
    pub model: ModelName,
    pub ops: Vec<Op>,
}

/// How long the request's sequence is and may become.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub prompt: usize,
    pub new: usize,
}

impl Plan {
    /// Checks a lane's interventions and compiles them.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown latent, a latent named twice, a number that is not finite, a negative value to
    /// clamp to, a unit or direction that a latent lacks, or a position out of reach.
    pub(crate) fn new(lane: &api::Lane, dictionary: &Dictionary, extent: Extent) -> Result<Self> {
        let mut ops = Vec::new();
        for intervention in &lane.interventions {
            let reach = places::reach(intervention.positions(), extent.prompt, extent.new)?;
            if let Some(edit) = compile(intervention, lane.model, dictionary)? {
                ops.push(Op {
                    codes: Source::of(&edit),
                    edit,
                    positions: intervention.positions().clone(),
                    reach,
                });
            }
        }
        Ok(Self {
            model: lane.model,
            ops,
        })
    }

    /// Whether an edit acts at or after this position, so that the lane cannot do without the other model's residual there.
    pub(crate) fn needs_other(&self, position: usize) -> bool {
        let own = self.model.index();
        self.ops.iter().any(|op| {
            position < op.reach
                && match op.edit {
                    Edit::Take { from } => from != own,
                    _ => op.codes != Source::Nowhere,
                }
        })
    }

    /// The edits that act here.
    pub(crate) fn acting(&self, place: &Place) -> impl Iterator<Item = &Op> {
        self.ops.iter().filter(|op| place.is_in(&op.positions))
    }

    /// Whether an edit acts here.
    pub(crate) fn acts(&self, place: &Place) -> bool {
        self.acting(place).next().is_some()
    }

    /// Whether an edit that acts here reads the whole dictionary's codes. Then all that act here read them from there; this depends on the
    /// lane alone, not on its company.
    pub(crate) fn reads_all(&self, place: &Place) -> bool {
        self.acting(place).any(|op| matches!(op.codes, Source::All))
    }

    /// Reads what edits of a few latents need of the encoder, unless that is there, and sees that the dictionary's files are as they were.
    ///
    /// # Errors
    /// When they are not.
    pub(crate) fn prepare(&self, dictionary: &Dictionary) -> Result<()> {
        let crosscoder = &dictionary.crosscoder;
        crosscoder.check_file()?;
        for op in &self.ops {
            if let Source::Few(ids, few) = &op.codes
                && few.get().is_none()
            {
                let read = crosscoder.few(ids)?;
                few.get_or_init(|| read);
            }
        }
        Ok(())
    }

    /// The codes that the edits which act here read, where none of them reads the whole dictionary's, from the unedited residuals [D] of
    /// base and chat; the plan is prepared.
    pub(crate) fn few_codes(
        &self,
        dictionary: &Dictionary,
        place: &Place,
        residual: [Option<&[f32]>; 2],
    ) -> Vec<Active> {
        let few = self.acting(place).filter_map(|op| match &op.codes {
            Source::Few(_, few) => few.get(),
            Source::Nowhere | Source::All => None,
        });
        let few: Vec<&Few> = few.collect();
        let ([Some(base), Some(chat)], false) = (residual, few.is_empty()) else {
            return Vec::new();
        };
        let x = dictionary.crosscoder.seen([base, chat]);
        let codes = |few: &Few| dictionary.crosscoder.codes_of_few(few, &x);
        let mut all: Vec<Active> = few.into_iter().flat_map(codes).collect();
        all.sort_by_key(|active| active.id);
        all.dedup_by_key(|active| active.id);
        all
    }
}

/// One intervention as an edit; `None` when it changes nothing.
fn compile(
    intervention: &Intervention,
    lane: ModelName,
    dictionary: &Dictionary,
) -> Result<Option<Edit>> {
    let kind = intervention.kind();
    Ok(match intervention {
        Intervention::Take { from, .. } => Some(Edit::Take { from: from.index() }),
        Intervention::Move { latents, scale, .. } => {
            finite(kind, "scale", *scale)?;
            let latents = match latents {
                LatentSet::All => Chosen::All,
                LatentSet::Ids(ids) => Chosen::Ids(known(kind, ids, dictionary)?),
            };
            let nothing = *scale == 0.0 || latents == Chosen::Ids(Vec::new());
            (!nothing).then_some(Edit::Move {
                latents,
                to: lane.index(),
                scale: *scale,
            })
        }
        Intervention::Add {
            latents,
            decoder,
            unit,
            ..
        } => {
            let ids: Vec<u32> = latents.iter().map(|l| l.id).collect();
            known(kind, &ids, dictionary)?;
            let decoder = decoder.unwrap_or(lane).index();
            sum(latents, decoder, *unit, dictionary)?.map(|vector| Edit::Add { vector })
        }
        Intervention::Scale {
            latents,
            factor,
            decoder,
            ..
        } => {
            finite(kind, "factor", *factor)?;
            let latents = known(kind, latents, dictionary)?;
            (*factor != 1.0 && !latents.is_empty()).then_some(Edit::Scale {
                latents,
                factor: *factor,
                decoder: decoder.unwrap_or(lane).index(),
            })
        }
        Intervention::Clamp {
            latents,
            value,
            unit,
            decoder,
            ..
        } => {
            finite(kind, "value", *value)?;
            if *value < 0.0 {
                return Err(Error::invalid(format!(
                    "clamp: value is {value}; an activation is never negative, expected 0 or more"
                )));
            }
            let decoder = decoder.unwrap_or(lane).index();
            let latents = known(kind, latents, dictionary)?;
            let codes = latents
                .iter()
                .map(|&id| {
                    let one = match unit {
                        ClampUnit::Activation => 1.0,
                        ClampUnit::MaxActivation => {
                            dictionary.natural_maximum(kind, "activation", id)?
                        }
                    };
                    Ok((id, dictionary.code(kind, id, value * one, decoder)?))
                })
                .collect::<Result<Vec<_>>>()?;
            (!codes.is_empty()).then_some(Edit::Clamp { codes, decoder })
        }
        Intervention::ProjectOut {
            latents, decoder, ..
        } => {
            known(kind, latents, dictionary)?;
            let decoder = decoder.unwrap_or(lane).index();
            for &id in latents {
                dictionary.inverse_norm(kind, id, decoder)?;
            }
            // In the order named: each direction is taken out of what the one before left.
            (!latents.is_empty()).then_some(Edit::ProjectOut {
                latents: latents.clone(),
                decoder,
            })
        }
        Intervention::Reconstruct { decoder, .. } => Some(Edit::Reconstruct {
            decoder: decoder.unwrap_or(lane).index(),
        }),
    })
}

/// Σ strength·u_j, or `None` when every strength is 0.
fn sum(
    latents: &[LatentStrength],
    decoder: usize,
    unit: StrengthUnit,
    dictionary: &Dictionary,
) -> Result<Option<Vec<f32>>> {
    let mut vector: Option<Vec<f32>> = None;
    for &LatentStrength { id, strength } in latents {
        finite("add", "strength", strength)?;
        let factor = match unit {
            StrengthUnit::MaxActivation => {
                let max = dictionary.natural_maximum("add", "norm or raw", id)?;
                dictionary.code("add", id, max, decoder)?
            }
            StrengthUnit::Norm => dictionary.inverse_norm("add", id, decoder)?,
            StrengthUnit::Raw => 1.0,
        };
        if strength == 0.0 {
            continue;
        }
        let row = dictionary.row(decoder, id);
        let sum = vector.get_or_insert_with(|| vec![0.0; row.len()]);
        for (s, d) in sum.iter_mut().zip(row.iter()) {
            *s += strength * (factor * d);
        }
    }
    if vector
        .as_ref()
        .is_some_and(|v| v.iter().any(|x| !x.is_finite()))
    {
        return Err(Error::invalid(
            "add: the strengths are so large that the edit is not a finite vector; use smaller ones",
        ));
    }
    Ok(vector)
}

fn finite(kind: &str, name: &str, value: f32) -> Result<()> {
    if value.is_finite() {
        Ok(())
    } else {
        Err(Error::invalid(format!(
            "{kind}: {name} is not a finite number; expected one within the range of 32-bit floats"
        )))
    }
}

/// The ids sorted, each known and named once.
fn known(kind: &str, ids: &[u32], dictionary: &Dictionary) -> Result<Vec<u32>> {
    let mut seen = HashSet::with_capacity(ids.len());
    for &id in ids {
        dictionary.check_latent(id)?;
        if !seen.insert(id) {
            return Err(Error::invalid(format!(
                "{kind}: latent {id} is named twice; name it once, or use two interventions"
            )));
        }
    }
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    Ok(ids)
}
