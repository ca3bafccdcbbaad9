//! Exact codes of what the screen's bounds let through.

use matrix::{Matrix, Write};
use rayon::prelude::*;

use super::amx;
use super::entries::{Entries, Models};
use super::parameters::{Parameters, Weight};
use super::product::multiply;
use super::screen::Screen;
use super::search::{Search, gate};
use super::sparse::Sparse;
use super::tiles::Packed;
use crate::select::nth_largest;

/// The next search begins a little below the last lower bound of the cut.
const FLOOR_SHARE: f32 = 0.9;

/// Selection by upper bounds, where the processor has a matrix unit.
#[derive(Debug)]
pub(super) struct Screening {
    /// Whether it may be used.
    pub(super) wanted: bool,
    /// Whether the last product gave bounds.
    on: bool,
    pub(super) screen: Screen,
    /// Lower bounds of the last cuts.
    least: Vec<f32>,
    entries: Entries,
    packed: Packed,
}

impl Default for Screening {
    fn default() -> Self {
        Self {
            wanted: true,
            on: false,
            screen: Screen::default(),
            least: Vec::new(),
            entries: Entries::default(),
            packed: Packed::default(),
        }
    }
}

impl Screening {
    /// Whether the product that begins gives bounds.
    pub(super) fn begins(&mut self) -> bool {
        self.on = self.wanted && amx::is_available();
        self.on
    }
}

impl Search {
    /// After [`Search::run`] with these floors: leaves of what was found all that may be among the `count` largest v of a selection,
    /// with exact f, and gives the floors that hold from then on.
    pub(super) fn settle(
        &mut self,
        count: usize,
        x: &[f32],
        parameters: &Parameters,
        weights: &[Weight],
        floors: &[f32],
    ) -> Vec<f32> {
        if !self.screening.on {
            return floors.to_vec();
        }
        let zeros = vec![0.0; floors.len()];
        let bias = &parameters.encoder_bias;
        let mut least = self.least_kept(count, weights, floors.len());
        // What was not found lies at or below its floor: it must not be able to be kept.
        let reaches = |(least, floor): (&f32, &f32)| *floor > 0.0 && least <= floor;
        if least.iter().zip(floors).any(reaches) {
            self.collect(bias, weights, &zeros);
            least = self.least_kept(count, weights, floors.len());
        }
        self.found.par_iter_mut().for_each(|found| {
            found.retain(|c| {
                let may_be_kept = |(model, least): (usize, &f32)| {
                    let v = c.f * gate(weights, c.latent, model);
                    v > 0.0 && v >= *least
                };
                least.iter().enumerate().any(may_be_kept)
            });
        });
        self.compute(x, parameters);
        self.screening.least = least;
        zeros
    }

    /// After [`Search::run`]: exact f of all that was found.
    pub(super) fn settle_all(&mut self, x: &[f32], parameters: &Parameters) {
        if self.screening.on {
            self.compute(x, parameters);
        }
    }

    /// Where the next search is to begin, other than from the last cuts.
    pub(super) fn next_floors(&self) -> Option<[f32; 2]> {
        let least = match *self.screening.least.as_slice() {
            [one] => [one; 2],
            [base, chat] => [base, chat],
            _ => return None,
        };
        self.screening.on.then(|| least.map(|v| FLOOR_SHARE * v))
    }

    /// Per selection a lower bound of the `count`-th largest v: that of the lower bounds found, or 0 if these are fewer.
    fn least_kept(&mut self, count: usize, weights: &[Weight], selections: usize) -> Vec<f32> {
        let (candidates, screen) = (&mut self.candidates, &self.screening.screen);
        let of_selection = |model| {
            candidates.clear();
            candidates.extend(self.found.iter().flatten().map(|c| {
                let excess = screen.excess(c.row as usize, c.latent as usize);
                (c.f - excess) * gate(weights, c.latent, model)
            }));
            if candidates.len() > count {
                nth_largest(candidates, count).0.max(0.0)
            } else {
                0.0
            }
        };
        (0..selections).map(of_selection).collect()
    }

    /// Exact f of all that is left of what was found.
    fn compute(&mut self, x: &[f32], parameters: &Parameters) {
        let mut entries = std::mem::take(&mut self.screening.entries);
        self.by_token(|_| Models::BOTH, &mut entries);
        let mut f = std::mem::take(&mut entries.df);
        f.fill(0.0);
        Sparse {
            entries: &entries,
            decoder: &parameters.encoder,
            width: parameters.decoder_bias.len(),
        }
        .multiply(x, &mut f, &mut self.screening.packed);
        let mut next = entries.offsets.clone();
        for c in self.found.iter_mut().flatten() {
            let (Some(at), Some(bias)) = (
                next.get_mut(c.row as usize),
                parameters.encoder_bias.get(c.latent as usize),
            ) else {
                continue;
            };
            c.f = f.get(*at).copied().unwrap_or(0.0) + bias;
            *at += 1;
        }
        entries.df = f;
        self.screening.entries = entries;
    }

    /// Makes the pre-activations of some latents, in rising order, exact.
    pub(super) fn make_exact(&mut self, x: &[f32], parameters: &Parameters, latents: &[u32]) {
        if !self.screening.on || latents.is_empty() {
            return;
        }
        let width = parameters.decoder_bias.len();
        let (rows, block) = (self.rows, self.block());
        self.values
            .par_chunks_mut((rows * block).max(1))
            .zip(parameters.encoder.par_chunks((block * width).max(1)))
            .enumerate()
            .for_each(|(i, (values, encoder))| {
                let before = |end: usize| latents.partition_point(|j| (*j as usize) < end);
                let wanted = before(i * block)..before((i + 1) * block);
                let wanted = latents.get(wanted).unwrap_or_default();
                let within = || wanted.iter().map(|j| *j as usize - i * block);
                let chosen: Vec<f32> = within()
                    .filter_map(|j| encoder.get(j * width..(j + 1) * width))
                    .flatten()
                    .copied()
                    .collect();
                let mut exact = vec![0.0; rows * wanted.len()];
                let chosen = Matrix::dense(&chosen, width).transposed();
                multiply(&mut exact, Matrix::dense(x, width), chosen, Write::Set);
                let of_rows = values.chunks_exact_mut((encoder.len() / width.max(1)).max(1));
                for (values, exact) in of_rows.zip(exact.chunks_exact(wanted.len().max(1))) {
                    for (j, exact) in within().zip(exact) {
                        if let Some(value) = values.get_mut(j) {
                            *value = *exact;
                        }
                    }
                }
            });
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::CodeNormalization;
    use crate::train::Settings;

    const TOKENS: usize = 75;
    const DIM: usize = 53;
    const LATENTS: usize = 301;

    /// Activations, parameters and code weights.
    fn case(normalization: CodeNormalization) -> (Vec<f32>, Parameters, Vec<Weight>) {
        let settings = Settings {
            init_with_transpose: false,
            ..Settings::default()
        };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut parameters = Parameters::draw(&settings, DIM, LATENTS);
        for bias in &mut parameters.encoder_bias {
            *bias = rng.random_range(-0.01..0.01);
        }
        let x = (0..TOKENS * 2 * DIM).map(|_| rng.random_range(-1.0..1.0));
        let x = x.collect();
        let mut weights = vec![Weight::default(); LATENTS];
        parameters.weigh(normalization, &mut weights);
        (x, parameters, weights)
    }

    fn search(screened: bool) -> Search {
        let mut search = Search::default();
        search.screening.wanted = screened;
        search
    }

    #[test]
    fn bounds_hold_and_are_made_exact() {
        if !amx::is_available() {
            return; // nothing to test on this processor
        }
        let (x, parameters, weights) = case(CodeNormalization::Crosscoder);
        let (mut exact, mut screened) = (search(false), search(true));
        for search in [&mut exact, &mut screened] {
            search.run(&x, &parameters, &weights, &[0.0]);
        }
        let mut wider = 0;
        for row in 0..TOKENS {
            for latent in 0..LATENTS {
                let pre = exact.pre(row, latent, LATENTS);
                let bound = screened.pre(row, latent, LATENTS);
                let excess = screened.screening.screen.excess(row, latent);
                assert!(
                    bound >= pre && bound - excess <= pre,
                    "{pre} {bound} {excess}"
                );
                wider += usize::from(bound > pre + 1e-4);
            }
        }
        assert!(
            wider > TOKENS * LATENTS / 2,
            "rounding to bf16 loses something"
        );
        screened.make_exact(&x, &parameters, &[3, 200, 300]);
        for row in 0..TOKENS {
            for latent in [3, 200, 300] {
                let pre = exact.pre(row, latent, LATENTS);
                assert!((screened.pre(row, latent, LATENTS) - pre).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn screened_selection_keeps_the_same_codes() {
        for normalization in [CodeNormalization::Crosscoder, CodeNormalization::Decoupled] {
            let (x, parameters, weights) = case(normalization);
            let selections = 1 + usize::from(normalization == CodeNormalization::Decoupled);
            // None found yet, a good guess, and one that is too high.
            for floor in [0.0, 0.05, 10.0] {
                let floors = vec![floor; selections];
                let count = 5 * TOKENS;
                let [plain, screened] = [false, true].map(|screened| {
                    let (mut search, mut entries) = (search(screened), Entries::default());
                    search.run(&x, &parameters, &weights, &floors);
                    let floors = search.settle(count, &x, &parameters, &weights, &floors);
                    let bias = &parameters.encoder_bias;
                    search.keep_largest(count, &floors, bias, &weights, &mut entries);
                    entries
                });
                assert_eq!(plain.offsets, screened.offsets);
                assert_eq!(plain.latents, screened.latents);
                assert_eq!(plain.models, screened.models);
                assert_eq!(plain.count(0), count);
                for (a, b) in plain.f.iter().zip(&screened.f) {
                    assert!((a - b).abs() < 1e-6 * (1.0 + a.abs()), "{a} {b}");
                }
            }
        }
    }
}
