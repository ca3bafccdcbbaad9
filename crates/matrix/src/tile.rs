//! The innermost loops of products of many rows: panels laid out in the order in which they are read, and sums that stay in registers.
//!
//! One factor of a product fills vectors, the other is spread to all lanes, number by number. Vectors lie as `[tile][depth][width]`, where a
//! tile is one or two vectors wide; numbers to spread as `[group][unit][R][UNIT]`, where a group is R rows and a unit some neighbours of a
//! row, so that rows are laid out without moving single numbers.

use pulp::{Simd, WithSimd};

/// Neighbours of a row that lie together; the depth of a panel is a multiple of it.
pub(crate) const UNIT: usize = 16;
/// Numbers of a cache line.
const LINE: usize = 16;
/// Depth of the rectangles that are turned in the cache.
const TURN: usize = 64;
/// Rows per group where there are 16 vector registers, and where there are more: with the two vectors of a tile they fill most registers.
const GROUPS: [usize; 2] = [6, 12];

/// The processor's measures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Numbers of a vector.
    pub(crate) lanes: usize,
    /// Rows of a group.
    pub(crate) group: usize,
}

/// Something that is done with groups of R rows.
pub(crate) trait Grouped {
    /// What it gives.
    type Output;

    /// Does it.
    fn run<S: Simd, const R: usize>(self, simd: S) -> Self::Output;
}

/// Chooses the size of groups.
pub(crate) struct WithGroups<G>(pub(crate) G);

impl<G: Grouped> WithSimd for WithGroups<G> {
    type Output = G::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> G::Output {
        if S::REGISTER_COUNT > 16 {
            self.0.run::<S, { GROUPS[1] }>(simd)
        } else {
            self.0.run::<S, { GROUPS[0] }>(simd)
        }
    }
}

/// Asks for the measures.
pub(crate) struct Measure;

impl Grouped for Measure {
    type Output = Shape;

    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, _: S) -> Shape {
        Shape {
            lanes: S::F32_LANES,
            group: R,
        }
    }
}

/// Room for so many numbers, whatever they were, that begins on a cache line: vectors that straddle two lines take twice as long to read.
pub(crate) fn aligned(buffer: &mut Vec<f32>, count: usize) -> &mut [f32] {
    if buffer.len() < count + LINE {
        buffer.resize(count + LINE, 0.0);
    }
    let start = line_start(buffer);
    &mut buffer[start..start + count]
}

/// Where the first cache line of some numbers begins.
pub(crate) fn line_start(numbers: &[f32]) -> usize {
    let start = numbers.as_ptr().align_offset(LINE * size_of::<f32>());
    start.min(LINE)
}

/// Lays rows out to be spread: `put` gets every place and its number, or none beyond the end of a row; `row` is empty where there is none.
#[inline(always)]
pub(crate) fn lay_spread<'a, N: Copy + 'a, const R: usize>(
    out: &mut [f32],
    depth: usize,
    row: impl Fn(usize) -> &'a [N],
    put: impl Fn(&mut f32, Option<N>),
) {
    for (group, out) in out.chunks_exact_mut(depth * R).enumerate() {
        for place in 0..R {
            let (whole, rest) = row(group * R + place).as_chunks::<UNIT>();
            let units = out.as_chunks_mut::<UNIT>().0.iter_mut();
            let mut units = units.skip(place).step_by(R);
            for numbers in whole {
                let Some(out) = units.next() else { break };
                for (out, number) in out.iter_mut().zip(numbers) {
                    put(out, Some(*number));
                }
            }
            let mut rest = rest.iter();
            for out in units.flatten() {
                put(out, rest.next().copied());
            }
        }
    }
}

/// For [`lay_spread`]: numbers as they are, and zeros beyond them.
#[inline(always)]
pub(crate) fn or_zero<N>(value: impl Fn(N) -> f32) -> impl Fn(&mut f32, Option<N>) {
    move |out, number| *out = number.map_or(0.0, &value)
}

/// Lays one tile of `width` rows out as vectors, with zeros beyond their ends; `row` is empty where there is none.
pub(crate) fn lay_turned<'a>(out: &mut [f32], width: usize, row: impl Fn(usize) -> &'a [f32]) {
    for (piece, out) in out.chunks_mut(TURN * width).enumerate() {
        for lane in 0..width {
            let mut numbers = row(lane).iter().skip(piece * TURN);
            let places = out.get_mut(lane..).unwrap_or_default();
            for out in places.iter_mut().step_by(width) {
                *out = numbers.next().copied().unwrap_or_default();
            }
        }
    }
}

/// Lays columns out as vectors: each of `depth` rows gives its numbers to the tiles, `width` wide, in turn, with zeros beyond its end.
#[inline(always)]
pub(crate) fn lay_columns<'a, N: Copy + 'a>(
    out: &mut [f32],
    [depth, width]: [usize; 2],
    row: impl Fn(usize) -> &'a [N],
    value: impl Fn(N) -> f32,
) {
    for place in 0..depth {
        let mut numbers = row(place);
        for out in out.chunks_mut(depth * width) {
            // The last tile may be one vector wide.
            let width = out.len() / depth;
            let out = out.chunks_exact_mut(width).nth(place).unwrap_or_default();
            let (these, others) = numbers.split_at(width.min(numbers.len()));
            numbers = others;
            let (out, beyond) = out.split_at_mut(these.len());
            for (out, number) in out.iter_mut().zip(these) {
                *out = value(*number);
            }
            beyond.fill(0.0);
        }
    }
}

/// Adds the products of one tile of vectors, `width` wide, with groups to `sums`, `[group][R][width]`; `before` is called at each group.
#[inline(always)]
pub(crate) fn add_products<'a, S: Simd, const R: usize>(
    simd: S,
    (vectors, width): (&[f32], usize),
    groups: impl Iterator<Item = &'a [f32]>,
    sums: &mut [f32],
    before: impl FnMut(),
) {
    if width > S::F32_LANES {
        add_tiles::<S, R, 2>(simd, vectors, groups, sums, before);
    } else {
        add_tiles::<S, R, 1>(simd, vectors, groups, sums, before);
    }
}

#[inline(always)]
fn add_tiles<'a, S: Simd, const R: usize, const V: usize>(
    simd: S,
    vectors: &[f32],
    groups: impl Iterator<Item = &'a [f32]>,
    sums: &mut [f32],
    mut before: impl FnMut(),
) {
    let vectors = S::as_simd_f32s(vectors).0.as_chunks::<V>().0;
    let vectors = vectors.as_chunks::<UNIT>().0;
    let sums = S::as_mut_simd_f32s(sums).0.as_chunks_mut::<V>().0;
    for (group, sums) in groups.zip(sums.as_chunks_mut::<R>().0) {
        before();
        let units = group.as_chunks::<UNIT>().0.as_chunks::<R>().0;
        let products = tile::<S, R, V>(simd, vectors, units);
        for (sums, products) in sums.iter_mut().zip(products) {
            for (sum, product) in sums.iter_mut().zip(products) {
                *sum = simd.add_f32s(*sum, product);
            }
        }
    }
}

/// The products of one tile with one group.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize>(
    simd: S,
    vectors: &[[[S::f32s; V]; UNIT]],
    units: &[[[f32; UNIT]; R]],
) -> [[S::f32s; V]; R] {
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    for (vectors, rows) in vectors.iter().zip(units) {
        for (depth, vectors) in vectors.iter().enumerate() {
            for (sums, row) in sums.iter_mut().zip(rows) {
                let number = simd.splat_f32s(row[depth]);
                for (sum, vector) in sums.iter_mut().zip(vectors) {
                    *sum = simd.mul_add_e_f32s(number, *vector, *sum);
                }
            }
        }
    }
    sums
}
