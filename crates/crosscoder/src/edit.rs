//! Edits of a residual by a dictionary's latents: one arithmetic for the lanes of a prompt and for experiments over many dialogues.

use std::collections::HashMap;

use crate::codes::Active;
use crate::crosscoder::Crosscoder;

/// Which latents an edit speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Every latent.
    All,
    /// These, by rising id.
    Ids(Vec<u32>),
}

impl Chosen {
    /// Whether a latent is among them.
    pub fn has(&self, id: u32) -> bool {
        match self {
            Self::All => true,
            Self::Ids(ids) => ids.binary_search(&id).is_ok(),
        }
    }
}

/// An edit of one token's residual h, in f32. Models are 0 (base) and 1 (chat). f is the code of the unedited pair, whatever was
/// edited before; g starts as f and returns to it at `Take`. Decoder rows act in residual space.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// h ← the unedited residual of a model.
    Take {
        /// The model.
        from: usize,
    },
    /// h += scale·Σ f_j (d_j of the model `to` − d_j of the other); no bias.
    Move {
        /// The latents moved.
        latents: Chosen,
        /// Whose part is put in.
        to: usize,
        /// How much of it.
        scale: f32,
    },
    /// h += vector.
    Add {
        /// [D]
        vector: Vec<f32>,
    },
    /// g'_j = factor·g_j; h += (g'_j − g_j)·d_j.
    Scale {
        /// Each once.
        latents: Vec<u32>,
        /// 0 ablates, 1 changes nothing, 2 adds the latent's contribution once more.
        factor: f32,
        /// Whose decoder rows.
        decoder: usize,
    },
}

impl Edit {
    /// Whether it reads the dictionary's code.
    pub fn needs_codes(&self) -> bool {
        matches!(self, Self::Move { .. } | Self::Scale { .. })
    }
}

/// What edits may read at one token.
#[derive(Clone, Copy, Debug)]
pub struct Unedited<'a> {
    /// Residual [D] of base and chat; a model that no edit needs may be missing.
    pub residual: [Option<&'a [f32]>; 2],
    /// Code of the pair, by id, where an edit needs it.
    pub active: &'a [Active],
}

impl Crosscoder {
    /// Applies edits in their order to one token's residual `h` [D]. Edits whose sum is empty change no bit.
    pub fn edit<'e>(
        &self,
        edits: impl IntoIterator<Item = &'e Edit>,
        token: &Unedited<'_>,
        h: &mut [f32],
    ) {
        // g of the latents that edits changed so far, by decoder slot and latent; all others still have f.
        let mut changed: HashMap<(usize, u32), f32> = HashMap::new();
        for edit in edits {
            match edit {
                Edit::Take { from } => {
                    let source = token.residual.get(*from).copied().flatten();
                    if let Some(source) = source.filter(|source| source.len() == h.len()) {
                        h.copy_from_slice(source);
                    }
                    changed.clear();
                }
                Edit::Move { latents, to, scale } => {
                    self.add_difference(token.active, |id| latents.has(id), *to, *scale, h);
                }
                Edit::Add { vector } => axpy(1.0, vector, h),
                Edit::Scale {
                    latents,
                    factor,
                    decoder,
                } => {
                    let slot = if self.is_decoupled() { *decoder } else { 0 };
                    for &id in latents {
                        let f = code(token.active, id, *decoder);
                        let g = changed.entry((slot, id)).or_insert(f);
                        let after = factor * *g;
                        let difference = after - *g;
                        *g = after;
                        if difference != 0.0 {
                            axpy(difference, &self.residual_row(*decoder, id), h);
                        }
                    }
                }
            }
        }
    }
}

/// f of a latent among a token's active ones, for a model's decoder; 0 where inactive.
fn code(active: &[Active], id: u32, model: usize) -> f32 {
    active
        .binary_search_by_key(&id, |a| a.id)
        .ok()
        .and_then(|at| active.get(at))
        .and_then(|a| a.f.get(model).copied())
        .unwrap_or(0.0)
}

/// y += a·x.
fn axpy(a: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}
