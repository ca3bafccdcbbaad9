//! Edits of a residual by a dictionary's latents: one arithmetic for the lanes of a prompt and for experiments over many dialogues.

use std::collections::{BTreeMap, HashMap};

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
    /// g'_j = the code given, firing or not; h += (g'_j − g_j)·d_j.
    Clamp {
        /// Each once, with its unscaled code.
        codes: Vec<(u32, f32)>,
        /// Whose decoder rows.
        decoder: usize,
    },
    /// For each latent in order h −= ⟨h,u⟩u, u = d_j/‖d_j‖.
    ProjectOut {
        /// Each once, in the order in which their directions are taken out; one without a direction takes out nothing.
        latents: Vec<u32>,
        /// Whose decoder rows.
        decoder: usize,
    },
    /// h ← Σ_j g_j d_j + b_dec.
    Reconstruct {
        /// Whose decoder.
        decoder: usize,
    },
}

impl Edit {
    /// The latents whose codes it reads, where it reads any.
    pub fn reads(&self) -> Chosen {
        match self {
            Self::Take { .. } | Self::Add { .. } | Self::ProjectOut { .. } => {
                Chosen::Ids(Vec::new())
            }
            Self::Move { latents, .. } => latents.clone(),
            Self::Scale { latents, .. } => Chosen::Ids(latents.clone()),
            Self::Clamp { codes, .. } => Chosen::Ids(codes.iter().map(|(id, _)| *id).collect()),
            Self::Reconstruct { .. } => Chosen::All,
        }
    }

    /// Whether it reads codes.
    pub fn needs_codes(&self) -> bool {
        !matches!(
            self,
            Self::Take { .. } | Self::Add { .. } | Self::ProjectOut { .. }
        )
    }
}

/// What edits may read at one token.
#[derive(Clone, Copy, Debug)]
pub struct Unedited<'a> {
    /// Residual [D] of base and chat; a model that no edit needs may be missing.
    pub residual: [Option<&'a [f32]>; 2],
    /// Code of the pair, by id, of the latents at least that an edit reads.
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
        let mut codes = Edited::new(self, token.active);
        for edit in edits {
            match edit {
                Edit::Take { from } => {
                    let source = token.residual.get(*from).copied().flatten();
                    if let Some(source) = source.filter(|source| source.len() == h.len()) {
                        h.copy_from_slice(source);
                    }
                    codes.changed.clear();
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
                    for &id in latents {
                        codes.change(id, *decoder, |g| factor * g, h);
                    }
                }
                Edit::Clamp {
                    codes: given,
                    decoder,
                } => {
                    for &(id, code) in given {
                        codes.change(id, *decoder, |_| code, h);
                    }
                }
                Edit::ProjectOut { latents, decoder } => {
                    for &id in latents {
                        self.project_out(id, *decoder, h);
                    }
                }
                Edit::Reconstruct { decoder } => {
                    self.reconstruct_row(*decoder, codes.now(*decoder), h);
                }
            }
        }
    }

    /// h −= ⟨h,u⟩u with u the latent's direction, which a normaliser does not turn.
    fn project_out(&self, id: u32, decoder: usize, h: &mut [f32]) {
        let row = self.decoder_row(decoder, id);
        let square = diffing::dot(&row, &row);
        if square > 0.0 {
            axpy(-(diffing::dot(h, &row) / square) as f32, &row, h);
        }
    }
}

/// g: f but for the latents that edits changed.
struct Edited<'a> {
    crosscoder: &'a Crosscoder,
    active: &'a [Active],
    /// By decoder slot, of which only DECOUPLED has two, and latent.
    changed: HashMap<(usize, u32), f32>,
}

impl<'a> Edited<'a> {
    fn new(crosscoder: &'a Crosscoder, active: &'a [Active]) -> Self {
        Self {
            crosscoder,
            active,
            changed: HashMap::new(),
        }
    }

    fn slot(&self, decoder: usize) -> usize {
        if self.crosscoder.is_decoupled() {
            decoder
        } else {
            0
        }
    }

    /// Replaces a latent's g by what `to` makes of it, and adds the difference to `h` [D].
    fn change(&mut self, id: u32, decoder: usize, to: impl Fn(f32) -> f32, h: &mut [f32]) {
        let f = code(self.active, id, decoder);
        let g = self.changed.entry((self.slot(decoder), id)).or_insert(f);
        let after = to(*g);
        let difference = after - *g;
        *g = after;
        if difference != 0.0 {
            axpy(difference, &self.crosscoder.residual_row(decoder, id), h);
        }
    }

    /// The latents whose g may differ from 0 for a decoder, by id.
    fn now(&self, decoder: usize) -> BTreeMap<u32, f32> {
        let slot = self.slot(decoder);
        let active = self.active.iter().map(|a| a.id);
        let mut codes: BTreeMap<u32, f32> = active
            .map(|id| (id, code(self.active, id, decoder)))
            .collect();
        let changed = self.changed.iter().filter(|((s, _), _)| *s == slot);
        codes.extend(changed.map(|((_, id), g)| (*id, *g)));
        codes
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
