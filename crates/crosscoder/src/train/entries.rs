//! Sparse codes of a batch: kept by token, and turned over to be read by latent.

use std::ops::Range;

/// The models in which a code is active: both, unless each model selects its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Models(u8);

impl Models {
    pub(super) const NONE: Self = Self(0);
    pub(super) const BOTH: Self = Self(3);

    pub(super) fn of([base, chat]: [bool; 2]) -> Self {
        Self(u8::from(base) | (u8::from(chat) << 1))
    }

    pub(super) fn has(self, model: usize) -> bool {
        (self.0 >> model) & 1 == 1
    }

    pub(super) fn without(self, model: usize) -> Self {
        Self(self.0 & !(1 << model))
    }
}

/// One kept code.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code {
    pub(super) latent: u32,
    pub(super) f: f32,
    pub(super) models: Models,
}

/// Codes by token: those of token t lie at `offsets[t]..offsets[t + 1]`, by rising latent.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    pub(super) offsets: Vec<usize>,
    pub(super) latents: Vec<u32>,
    pub(super) f: Vec<f32>,
    pub(super) models: Vec<Models>,
    /// Gradient of the loss by f.
    pub(super) df: Vec<f32>,
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.latents.len()
    }

    /// Codes active in a model.
    pub(super) fn count(&self, model: usize) -> usize {
        self.models.iter().filter(|m| m.has(model)).count()
    }

    /// Codes of one token.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = Code> + '_ {
        let range = match (self.offsets.get(row), self.offsets.get(row + 1)) {
            (Some(&from), Some(&to)) => from..to,
            _ => 0..0,
        };
        self.range(range)
    }

    /// Number of codes of some tokens.
    pub(super) fn count_of(&self, rows: Range<usize>) -> usize {
        let last = self.offsets.len().saturating_sub(1);
        let offset = |row: usize| self.offsets.get(row.min(last)).copied().unwrap_or(0);
        offset(rows.end) - offset(rows.start)
    }

    /// Where each token's codes of each `size` neighbouring latents lie; `latents` are there in all.
    pub(super) fn blocks(&self, size: usize, latents: usize) -> Blocks {
        let count = latents.div_ceil(size.max(1));
        let mut bounds = Vec::with_capacity(self.offsets.len() * (count + 1));
        for ends in self.offsets.windows(2) {
            let &[from, to] = ends else { continue };
            let row = self.latents.get(from..to).unwrap_or_default();
            bounds.push(from);
            bounds.extend(
                (1..count).map(|i| from + row.partition_point(|j| (*j as usize) < i * size)),
            );
            bounds.push(to);
        }
        Blocks {
            size,
            count,
            bounds,
        }
    }

    /// All codes.
    pub(super) fn all(&self) -> impl Iterator<Item = Code> + '_ {
        self.range(0..self.len())
    }

    /// Codes at some places.
    pub(super) fn range(&self, range: Range<usize>) -> impl Iterator<Item = Code> + '_ {
        let latents = self.latents.get(range.clone()).unwrap_or_default();
        let f = self.f.get(range.clone()).unwrap_or_default();
        let models = self.models.get(range).unwrap_or_default();
        latents
            .iter()
            .zip(f)
            .zip(models)
            .map(|((&latent, &f), &models)| Code { latent, f, models })
    }

    pub(super) fn clear(&mut self) {
        self.offsets.clear();
        self.offsets.push(0);
        self.resize(0);
    }

    /// Makes room for as many codes.
    pub(super) fn resize(&mut self, count: usize) {
        self.latents.resize(count, 0);
        self.f.resize(count, 0.0);
        self.models.resize(count, Models::NONE);
        self.df.resize(count, 0.0);
    }

    /// Writes a code at a place there is room for.
    pub(super) fn set(&mut self, at: usize, latent: u32, f: f32, models: Models) {
        if let (Some(l), Some(slot), Some(m)) = (
            self.latents.get_mut(at),
            self.f.get_mut(at),
            self.models.get_mut(at),
        ) {
            (*l, *slot, *m) = (latent, f, models);
        }
    }

    /// Adds a code to the last token.
    pub(super) fn push(&mut self, latent: u32, f: f32, models: Models) {
        self.latents.push(latent);
        self.f.push(f);
        self.models.push(models);
        self.df.push(0.0);
    }

    /// Ends the last token.
    pub(super) fn end_row(&mut self) {
        self.offsets.push(self.latents.len());
    }
}

/// Codes of every token by block of neighbouring latents.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    /// Latents per block.
    pub(super) size: usize,
    /// Blocks.
    pub(super) count: usize,
    /// Per token, `count` + 1 places.
    bounds: Vec<usize>,
}

impl Blocks {
    /// The places of a token's codes in a block.
    #[inline(always)]
    pub(super) fn of(&self, row: usize, block: usize) -> Range<usize> {
        let at = row * (self.count + 1) + block;
        match (self.bounds.get(at), self.bounds.get(at + 1)) {
            (Some(&from), Some(&to)) => from..to,
            _ => 0..0,
        }
    }
}

/// Turns counts, shifted by one, into offsets; gives the total.
pub(super) fn running_total(offsets: &mut [usize]) -> usize {
    let mut total = 0;
    for n in offsets {
        total += *n;
        *n = total;
    }
    total
}

/// A code as its latent sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) row: u32,
    pub(super) f: f32,
    /// Gradient of the loss by f.
    pub(super) df: f32,
    pub(super) models: Models,
}

/// Codes by latent: those of latent j lie at `offsets[j]..offsets[j + 1]`, by rising token.
#[derive(Clone, Debug, Default)]
pub(super) struct ByLatent {
    pub(super) offsets: Vec<usize>,
    pub(super) codes: Vec<Seen>,
}

impl ByLatent {
    /// Turns over codes by token. The parts have no latent in common.
    pub(super) fn turn(&mut self, parts: [&Entries; 2], latents: usize) {
        self.offsets.clear();
        self.offsets.resize(latents + 1, 0);
        for &j in parts.iter().flat_map(|p| &p.latents) {
            if let Some(n) = self.offsets.get_mut(j as usize + 1) {
                *n += 1;
            }
        }
        let total = running_total(&mut self.offsets);
        self.codes.resize(total, Seen::default());
        let mut next = self.offsets.clone();
        for part in parts {
            for (row, bounds) in part.offsets.windows(2).enumerate() {
                let &[from, to] = bounds else { continue };
                let df = part.df.get(from..to).unwrap_or_default();
                for (code, &df) in part.range(from..to).zip(df) {
                    let Some(at) = next.get_mut(code.latent as usize) else {
                        continue;
                    };
                    if let Some(slot) = self.codes.get_mut(*at) {
                        *slot = Seen {
                            row: row as u32,
                            f: code.f,
                            df,
                            models: code.models,
                        };
                    }
                    *at += 1;
                }
            }
        }
    }

    /// Whether a latent has codes in the batch.
    pub(super) fn touches(&self, latent: usize) -> bool {
        !self.latent(latent).is_empty()
    }

    /// All codes from so many after a latent's first on, those of later latents too.
    pub(super) fn from(&self, latent: usize, after: usize) -> &[Seen] {
        let first = self.offsets.get(latent).map(|first| first + after);
        let codes = first.and_then(|first| self.codes.get(first..));
        codes.unwrap_or_default()
    }

    /// A latent's codes.
    pub(super) fn latent(&self, latent: usize) -> &[Seen] {
        match (self.offsets.get(latent), self.offsets.get(latent + 1)) {
            (Some(&from), Some(&to)) => self.codes.get(from..to).unwrap_or_default(),
            _ => &[],
        }
    }
}
