//! A crosscoder's decoder as seen by the mathematics: rows and biases on the host.

use crate::error::{Result, same};

/// Decoder rows and biases of both models, in the space in which the crosscoder reconstructs.
#[derive(Clone, Copy, Debug)]
pub struct Decoder<'a> {
    rows: [&'a [f32]; 2],
    bias: [&'a [f32]; 2],
    dim: usize,
}

impl<'a> Decoder<'a> {
    /// `rows[m]` is [latents, dim] row-major, `bias[m]` is [dim]; m = 0 is base, 1 chat.
    ///
    /// # Errors
    /// If the sizes do not fit together.
    pub fn new(rows: [&'a [f32]; 2], bias: [&'a [f32]; 2]) -> Result<Self> {
        let dim = bias[0].len();
        same(
            "length of the chat model's decoder bias",
            dim,
            bias[1].len(),
        )?;
        same(
            "numbers in the chat model's decoder",
            rows[0].len(),
            rows[1].len(),
        )?;
        let latents = rows[0].len().checked_div(dim).unwrap_or(0);
        same("numbers in the decoder", latents * dim, rows[0].len())?;
        Ok(Self { rows, bias, dim })
    }

    /// Number of latents.
    pub fn latents(&self) -> usize {
        self.rows[0].len().checked_div(self.dim).unwrap_or(0)
    }

    /// Width D.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Base model's row of a latent; empty outside the dictionary.
    pub fn base(&self, latent: usize) -> &'a [f32] {
        self.row(0, latent)
    }

    /// Chat model's row of a latent; empty outside the dictionary.
    pub fn chat(&self, latent: usize) -> &'a [f32] {
        self.row(1, latent)
    }

    /// Row of a latent in model 0 or 1; empty outside the dictionary.
    pub fn row(&self, model: usize, latent: usize) -> &'a [f32] {
        let start = latent.saturating_mul(self.dim);
        self.rows
            .get(model)
            .and_then(|rows| rows.get(start..start.saturating_add(self.dim)))
            .unwrap_or_default()
    }

    /// Biases, base then chat.
    pub fn bias(&self) -> [&'a [f32]; 2] {
        self.bias
    }
}
