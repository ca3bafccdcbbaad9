//! From the last block's output to logits, and from directions of the residual stream to what they add to them.

use candle_core::{DType, Tensor};

use crate::kernels::{rms_norm, softcap};
use crate::weights::Company;
use crate::{Error, Logits, Model, Result};

impl Model {
    /// Final norm, head and soft cap: logits in f32, `[P, V]` for P wanted positions of `x` `[T, D]`. `Logits::None` gives no rows.
    ///
    /// # Errors
    /// For a position that `x` does not have.
    pub fn logits(&self, x: &Tensor, wanted: Logits<'_>) -> Result<Tensor> {
        self.check_files()?;
        let rows = wanted.rows(x)?;
        if rows.dim(0)? == 0 {
            return Ok(Tensor::zeros(
                (0, self.config().vocab_size),
                DType::F32,
                self.device(),
            )?);
        }
        self.read_out(&rows, Company::Together)
    }

    /// Logits in f32, `[N, V]`, of one token of each of N sequences, `x` `[N, D]`, as [`Model::caches`] has them.
    ///
    /// # Errors
    /// When the upper half cannot be read, or the device has no room.
    pub fn logits_apart(&self, x: &Tensor) -> Result<Tensor> {
        self.check_files()?;
        self.read_out(x, Company::Apart)
    }

    fn read_out(&self, rows: &Tensor, company: Company) -> Result<Tensor> {
        let upper = self.upper_half()?;
        let normed = rms_norm(rows, &upper.final_norm, self.config().rms_norm_eps)?;
        let logits = upper.head.product(&normed, company)?;
        Ok(softcap(
            &logits.to_dtype(DType::F32)?,
            self.config().final_softcap,
        )?)
    }

    /// What directions `[N, D]` of the residual stream, put straight into the final norm's scale and the head, add to each token's logit
    /// before the soft cap: ⟨(1 + γ) ⊙ d, E\[token\]⟩ in f32, `[N, V]` (the logit lens of decoder rows).
    ///
    /// # Errors
    /// When the directions are not as wide as the residual stream.
    pub fn unembed_directions(&self, directions: &Tensor) -> Result<Tensor> {
        let (_, width) = directions.dims2()?;
        if width != self.config().hidden_size {
            return Err(Error::Argument(format!(
                "the direction has width {width}, the model's hidden_size is {}",
                self.config().hidden_size
            )));
        }
        let upper = self.upper_half()?;
        let scaled = directions.broadcast_mul(&(&upper.final_norm + 1.0)?)?;
        let scaled = scaled.to_dtype(self.dtype())?;
        let read = upper.head.product(&scaled, Company::Together)?;
        Ok(read.to_dtype(DType::F32)?)
    }

    /// [`Model::unembed_directions`] of one direction.
    ///
    /// # Errors
    /// When `d` is not as wide as the residual stream.
    pub fn unembed_direction(&self, d: &[f32]) -> Result<Vec<f32>> {
        let one = Tensor::from_slice(d, (1, d.len()), self.device())?;
        Ok(self.unembed_directions(&one)?.squeeze(0)?.to_vec1()?)
    }
}
