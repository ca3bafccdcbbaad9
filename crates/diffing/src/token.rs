//! One token as Latent Scaling reads it: residuals, errors, and their inner products with decoder rows.
//!
//! Products are taken in f32 lanes, as vector units do them, and gathered in f64 every few hundred numbers.

use crate::decoder::Decoder;
use crate::error::{Result, same};

/// Squared lengths of x, x − b, x̂ and ε, each base then chat.
pub type Squares = [[f64; 2]; 4];

/// Inner products of one token with one latent's rows; `[2]` is base, chat.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Products {
    /// ⟨d_chat, x_m⟩
    pub activation: [f64; 2],
    /// ⟨d_chat, ε_m⟩ with ε = x − x̂
    pub error: [f64; 2],
    /// ⟨d_base, ε_base⟩
    pub own: f64,
}

/// A token's residuals x and errors ε = x − x̂ of base and chat, in the space of the decoder.
#[derive(Clone, Debug)]
pub struct ScalingToken<'a> {
    x: [&'a [f32]; 2],
    error: [&'a [f32]; 2],
    squares: Squares,
}

impl<'a> ScalingToken<'a> {
    /// From rows of the decoder's width.
    ///
    /// # Errors
    /// If a row has another width.
    pub fn new(x: [&'a [f32]; 2], error: [&'a [f32]; 2], decoder: &Decoder) -> Result<Self> {
        for row in x.iter().chain(&error) {
            same("width of a residual", decoder.dim(), row.len())?;
        }
        let mut squares = Squares::default();
        for m in 0..2 {
            let lengths = squared_lengths(x[m], decoder.bias()[m], error[m]);
            for (all, length) in squares.iter_mut().zip(lengths) {
                all[m] = length;
            }
        }
        Ok(Self { x, error, squares })
    }

    /// Width D.
    pub fn dim(&self) -> usize {
        self.x[0].len()
    }

    /// Squared lengths of x, x − b, x̂ and ε.
    pub fn squares(&self) -> &Squares {
        &self.squares
    }

    /// Inner products with a latent's rows.
    pub fn products(&self, decoder: &Decoder, latent: usize) -> Products {
        let rows = [
            decoder.chat(latent),
            decoder.base(latent),
            self.x[0],
            self.x[1],
            self.error[0],
            self.error[1],
        ];
        let [x_base, x_chat, error_base, error_chat, own] = dots(rows);
        Products {
            activation: [x_base, x_chat],
            error: [error_base, error_chat],
            own,
        }
    }
}

/// Partial sums side by side.
const LANES: usize = 8;
/// Numbers after which the lanes are gathered in f64.
const BLOCK: usize = 256;

/// Of rows c, b, x₀, x₁, e₀, e₁ of one width: ⟨c, x₀⟩, ⟨c, x₁⟩, ⟨c, e₀⟩, ⟨c, e₁⟩ and ⟨b, e₀⟩.
fn dots(rows: [&[f32]; 6]) -> [f64; 5] {
    let mut sums = [0f64; 5];
    let width = rows[0].len();
    let mut start = 0;
    while start < width {
        let end = (start + BLOCK).min(width);
        let parts = rows.map(|row| part(row, start, end).as_chunks::<LANES>());
        let [(c, _), (b, _), (x0, _), (x1, _), (e0, _), (e1, _)] = parts;
        let mut lanes = [[0f32; LANES]; 5];
        for (((((c, b), x0), x1), e0), e1) in c.iter().zip(b).zip(x0).zip(x1).zip(e0).zip(e1) {
            for i in 0..LANES {
                lanes[0][i] += c[i] * x0[i];
                lanes[1][i] += c[i] * x1[i];
                lanes[2][i] += c[i] * e0[i];
                lanes[3][i] += c[i] * e1[i];
                lanes[4][i] += b[i] * e0[i];
            }
        }
        let [c, b, x0, x1, e0, e1] = parts.map(|(_, rest)| rest);
        let tails = [(c, x0), (c, x1), (c, e0), (c, e1), (b, e0)];
        for ((sum, lanes), (a, b)) in sums.iter_mut().zip(&lanes).zip(tails) {
            let tail: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            *sum += f64::from(lanes.iter().sum::<f32>() + tail);
        }
        start = end;
    }
    sums
}

/// ‖x‖², ‖x − bias‖², ‖x − error‖² and ‖error‖².
fn squared_lengths(x: &[f32], bias: &[f32], error: &[f32]) -> [f64; 4] {
    let mut sums = [0f64; 4];
    let mut start = 0;
    while start < x.len() {
        let end = (start + BLOCK).min(x.len());
        let rows = [x, bias, error].map(|row| part(row, start, end).as_chunks::<LANES>());
        let [(x, x_rest), (bias, bias_rest), (error, error_rest)] = rows;
        let mut lanes = [[0f32; LANES]; 4];
        for ((x, b), e) in x.iter().zip(bias).zip(error) {
            for lane in 0..LANES {
                let squares = squares(x[lane], b[lane], e[lane]);
                for (lanes, square) in lanes.iter_mut().zip(squares) {
                    lanes[lane] += square;
                }
            }
        }
        for (sum, lanes) in sums.iter_mut().zip(&lanes) {
            *sum += f64::from(lanes.iter().sum::<f32>());
        }
        for ((x, b), e) in x_rest.iter().zip(bias_rest).zip(error_rest) {
            for (sum, square) in sums.iter_mut().zip(squares(*x, *b, *e)) {
                *sum += f64::from(square);
            }
        }
        start = end;
    }
    sums
}

#[inline]
fn squares(x: f32, bias: f32, error: f32) -> [f32; 4] {
    [x, x - bias, x - error, error].map(|y| y * y)
}

fn part(row: &[f32], start: usize, end: usize) -> &[f32] {
    row.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{dots, squared_lengths};
    use crate::norms::dot;

    #[test]
    fn lanes_and_tails_count_every_number_once() {
        for width in [0usize, 1, 7, 8, 9, 255, 256, 257, 300, 520] {
            let row = |k: usize| -> Vec<f32> {
                (0..width)
                    .map(|i| ((i * k + 3) % 11) as f32 - 4.0)
                    .collect()
            };
            let (a, b, c) = (row(1), row(3), row(5));
            // Small whole numbers are exact in every order.
            let found = dots([&a, &b, &b, &c, &a, &c]);
            let expected = [(&a, &b), (&a, &c), (&a, &a), (&a, &c), (&b, &a)];
            assert_eq!(found, expected.map(|(a, b)| dot(a, b)), "{width}");
            let less = |v: &[f32]| -> Vec<f32> { a.iter().zip(v).map(|(x, y)| x - y).collect() };
            let (ab, ac) = (less(&b), less(&c));
            let expected = [dot(&a, &a), dot(&ab, &ab), dot(&ac, &ac), dot(&c, &c)];
            assert_eq!(squared_lengths(&a, &b, &c), expected, "{width}");
        }
    }
}
