//! Latent Scaling: how much of a chat direction is in each model's error and reconstruction.

use api::{Betas, ScalingFit};
use serde::{Deserialize, Serialize};

use crate::decoder::Decoder;
use crate::error::{Error, Result, same};
use crate::norms::dot;
use crate::token::{Products, ScalingToken, Squares};

/// Names of the four targets, in the order of every array over targets.
pub const SCALING_TARGETS: [&str; 4] = [
    "activation",
    "activation_no_bias",
    "reconstruction",
    "error",
];

/// One latent's sums over the tokens on which it is active; `[2]` is base, chat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
struct Sums {
    /// Tokens.
    active: u64,
    /// Σ f
    f: f64,
    /// Σ f²
    f2: f64,
    /// Σ f·⟨d_chat, x_m⟩
    activation: [f64; 2],
    /// Σ f·⟨d_chat, ε_m⟩
    error: [f64; 2],
    /// Σ f·⟨d_base, ε_base⟩
    own: f64,
    /// Σ ‖·‖² of x, x − b, x̂ and ε
    squares: Squares,
}

/// [`Sums`] in a file: without names, of which there would be millions.
type Stored = (u64, [f64; 7], Squares);

impl From<Stored> for Sums {
    fn from((active, sums, squares): Stored) -> Self {
        let [f, f2, a, b, c, d, own] = sums;
        Self {
            active,
            f,
            f2,
            activation: [a, b],
            error: [c, d],
            own,
            squares,
        }
    }
}

impl From<Sums> for Stored {
    fn from(sums: Sums) -> Self {
        let ([a, b], [c, d]) = (sums.activation, sums.error);
        let numbers = [sums.f, sums.f2, a, b, c, d, sums.own];
        (sums.active, numbers, sums.squares)
    }
}

impl Sums {
    fn add(&mut self, f: f64, products: &Products, squares: &Squares) {
        self.active += 1;
        self.f += f;
        self.f2 += f * f;
        self.own += f * products.own;
        for m in 0..2 {
            self.activation[m] += f * products.activation[m];
            self.error[m] += f * products.error[m];
        }
        add_squares(&mut self.squares, squares);
    }

    fn merge(&mut self, other: &Self) {
        self.active += other.active;
        self.f += other.f;
        self.f2 += other.f2;
        self.own += other.own;
        for m in 0..2 {
            self.activation[m] += other.activation[m];
            self.error[m] += other.error[m];
        }
        add_squares(&mut self.squares, &other.squares);
    }
}

fn add_squares(sums: &mut Squares, more: &Squares) {
    for (sum, more) in sums.iter_mut().flatten().zip(more.iter().flatten()) {
        *sum += more;
    }
}

/// One latent's least-squares problems, target by model: minimise Σ‖y − β·f·d‖².
struct Problems {
    /// Σ f·⟨d, y⟩
    numerators: [[f64; 2]; 4],
    /// Σ ‖y‖²
    squares: [[f64; 2]; 4],
    /// ‖d‖²·Σ f²
    denominator: f64,
}

impl Problems {
    fn of(sums: &Sums, decoder: &Decoder, latent: usize) -> Self {
        let d = decoder.chat(latent);
        let bias = decoder.bias();
        let mut problems = Self {
            numerators: [[0.0; 2]; 4],
            squares: sums.squares,
            denominator: dot(d, d) * sums.f2,
        };
        for m in 0..2 {
            let row = decoder.row(m, latent);
            let (x, error) = (sums.activation[m], sums.error[m]);
            // ε·d_m, with the latent's own row of each model: the chat row is d itself.
            let own = if m == 0 { sums.own } else { error };
            let numerators = [
                x,
                x - dot(d, bias[m]) * sums.f,
                x - error,
                error + dot(d, row) * sums.f2,
            ];
            for (all, numerator) in problems.numerators.iter_mut().zip(numerators) {
                all[m] = numerator;
            }
            // The error target is ε + f·d_m: the latent's own part is left in.
            problems.squares[3][m] += 2.0 * own + dot(row, row) * sums.f2;
        }
        problems
    }

    /// β by target and model.
    fn betas(&self) -> Betas {
        let beta = |target: usize, m: usize| {
            let beta = self.numerators[target][m] / self.denominator;
            beta.is_finite().then_some(beta)
        };
        Betas {
            beta_activation_base: beta(0, 0),
            beta_activation_chat: beta(0, 1),
            beta_activation_no_bias_base: beta(1, 0),
            beta_activation_no_bias_chat: beta(1, 1),
            beta_reconstruction_base: beta(2, 0),
            beta_reconstruction_chat: beta(2, 1),
            beta_error_base: beta(3, 0),
            beta_error_chat: beta(3, 1),
        }
    }

    /// Squared errors before and after with these coefficients, target by model, summed over the tokens.
    fn errors(&self, betas: &BetaTable) -> ErrorTable {
        let mut errors = ErrorTable::default();
        for (i, errors) in errors.as_flattened_mut().iter_mut().enumerate() {
            let (t, m) = (i / 2, i % 2);
            let (beta, before) = (betas[t][m], self.squares[t][m]);
            let cross = 2.0 * beta * self.numerators[t][m];
            let after = before - (cross - beta * beta * self.denominator);
            *errors = [before.max(0.0), after.max(0.0)];
        }
        errors
    }

    /// Mean squared errors with these coefficients; an unknown one counts as 0.
    fn fits(&self, betas: &Betas, tokens: u64) -> Vec<ScalingFit> {
        if tokens == 0 {
            return Vec::new();
        }
        let errors = self.errors(&by_target(betas));
        SCALING_TARGETS
            .iter()
            .zip(errors)
            .map(|(target, [base, chat])| {
                let mean = |i: usize| [base[i], chat[i]].map(|sum| sum / tokens as f64);
                ScalingFit {
                    target: (*target).into(),
                    before: mean(0),
                    after: mean(1),
                }
            })
            .collect()
    }
}

/// Coefficients by target and model; an unknown one is 0.
pub(crate) type BetaTable = [[f64; 2]; 4];

/// Squared errors before and after, by target and model.
pub(crate) type ErrorTable = [[[f64; 2]; 2]; 4];

/// Squared errors of one token on which a latent is active with unscaled code `f`, before and after its part with these coefficients is
/// taken away.
pub(crate) fn token_errors(
    decoder: &Decoder,
    latent: u32,
    f: f64,
    token: &ScalingToken<'_>,
    betas: &BetaTable,
) -> ErrorTable {
    let latent = latent as usize;
    let mut sums = Sums::default();
    sums.add(f, &token.products(decoder, latent), token.squares());
    Problems::of(&sums, decoder, latent).errors(betas)
}

/// Coefficients in the order of [`SCALING_TARGETS`], base then chat.
pub(crate) fn by_target(betas: &Betas) -> BetaTable {
    [
        [betas.beta_activation_base, betas.beta_activation_chat],
        [
            betas.beta_activation_no_bias_base,
            betas.beta_activation_no_bias_chat,
        ],
        [
            betas.beta_reconstruction_base,
            betas.beta_reconstruction_chat,
        ],
        [betas.beta_error_base, betas.beta_error_chat],
    ]
    .map(|models| models.map(Option::unwrap_or_default))
}

/// Sums that give the least-squares coefficients β of Latent Scaling for four targets and both models; mergeable.
///
/// β_j = Σ f_j⟨d_j, y⟩ / (‖d_j‖²·Σ f_j²) with d_j the chat decoder row for both models' targets and f_j the unscaled code.
/// The four targets need two inner products per model and active latent, the rest follows:
/// with the bias b removed, Σ f⟨d, x − b⟩ = Σ f⟨d, x⟩ − ⟨d, b⟩·Σ f; the reconstruction is x − ε; and the error target ε + f·d_m, in
/// which the latent's own part is left, gives Σ f⟨d, ε⟩ + ⟨d, d_m⟩·Σ f². One product more, ⟨d_base, ε_base⟩, gives the squared length
/// of that target, and with it how well each β fits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalingSums {
    latents: Vec<Sums>,
}

impl ScalingSums {
    /// No token yet, for a dictionary of this many latents.
    pub fn new(latents: usize) -> Self {
        Self {
            latents: vec![Sums::default(); latents],
        }
    }

    /// Number of latents.
    pub fn len(&self) -> usize {
        self.latents.len()
    }

    /// Whether there are no latents.
    pub fn is_empty(&self) -> bool {
        self.latents.is_empty()
    }

    /// Tokens on which a latent was active; 0 outside the dictionary.
    pub fn active(&self, latent: u32) -> u64 {
        self.latents
            .get(latent as usize)
            .map_or(0, |sums| sums.active)
    }

    /// Adds one token: residuals `x` and full reconstructions `x_hat` (bias included) of base and chat, each [D], in the space of
    /// the decoder (normalised where the dictionary normalises), and the active latents as (id, unscaled f).
    ///
    /// # Errors
    /// If an id is outside the dictionary, or a row's width or the dictionary's size does not fit. Nothing is added then.
    pub fn add_token(
        &mut self,
        x: [&[f32]; 2],
        x_hat: [&[f32]; 2],
        active: &[(u32, f32)],
        decoder: &Decoder,
    ) -> Result<()> {
        for row in &x_hat {
            same("width of a residual", decoder.dim(), row.len())?;
        }
        let error = [0, 1].map(|m| -> Vec<f32> {
            let parts = x[m].iter().zip(x_hat[m]);
            parts.map(|(x, x_hat)| x - x_hat).collect()
        });
        let token = ScalingToken::new(x, [&error[0], &error[1]], decoder)?;
        self.add(&token, active, decoder)
    }

    /// Adds one token whose errors are known, with the active latents as (id, unscaled f); the same token serves several sums.
    ///
    /// # Errors
    /// As [`ScalingSums::add_token`].
    pub fn add(
        &mut self,
        token: &ScalingToken<'_>,
        active: &[(u32, f32)],
        decoder: &Decoder,
    ) -> Result<()> {
        same(
            "latents of the decoder",
            self.latents.len(),
            decoder.latents(),
        )?;
        same("width of a residual", decoder.dim(), token.dim())?;
        let latents = self.latents.len();
        if let Some(&(id, _)) = active.iter().find(|(id, _)| *id as usize >= latents) {
            return Err(Error::UnknownLatent { id, latents });
        }
        for &(id, f) in active {
            let products = token.products(decoder, id as usize);
            self.add_products(id, f64::from(f), &products, token.squares());
        }
        Ok(())
    }

    /// Adds one token on which `latent` is active with unscaled code `f`, from its inner products and squared lengths. A latent
    /// outside the dictionary is not counted.
    pub fn add_products(&mut self, latent: u32, f: f64, products: &Products, squares: &Squares) {
        if let Some(sums) = self.latents.get_mut(latent as usize) {
            sums.add(f, products, squares);
        }
    }

    /// Adds another part's sums.
    ///
    /// # Errors
    /// If the dictionaries differ in size.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        same("latents", self.latents.len(), other.latents.len())?;
        for (here, there) in self.latents.iter_mut().zip(&other.latents) {
            here.merge(there);
        }
        Ok(())
    }

    /// Coefficients of every latent; `None` where the latent was never active or its chat row is zero.
    ///
    /// # Errors
    /// If the decoder has another number of latents.
    pub fn betas(&self, decoder: &Decoder) -> Result<Vec<Betas>> {
        Ok(self.problems(decoder)?.map(|(p, _)| p.betas()).collect())
    }

    /// How well the coefficients of these very sums fit, by latent and target: the error after is at most the error before. Empty
    /// for a latent that was never active.
    ///
    /// # Errors
    /// If the decoder has another number of latents.
    pub fn fits(&self, decoder: &Decoder) -> Result<Vec<Vec<ScalingFit>>> {
        let problems = self.problems(decoder)?;
        Ok(problems.map(|(p, n)| p.fits(&p.betas(), n)).collect())
    }

    /// How well given coefficients fit these tokens, which need not be those of the fit; unknown ones count as 0. Empty for a
    /// latent that was never active.
    ///
    /// # Errors
    /// If the decoder or the coefficients have another number of latents.
    pub fn fits_of(&self, betas: &[Betas], decoder: &Decoder) -> Result<Vec<Vec<ScalingFit>>> {
        same("latents with coefficients", self.latents.len(), betas.len())?;
        let problems = self.problems(decoder)?.zip(betas);
        Ok(problems.map(|((p, n), betas)| p.fits(betas, n)).collect())
    }

    fn problems(&self, decoder: &Decoder) -> Result<impl Iterator<Item = (Problems, u64)>> {
        same(
            "latents of the decoder",
            self.latents.len(),
            decoder.latents(),
        )?;
        let sums = self.latents.iter().enumerate();
        Ok(sums.map(|(j, sums)| (Problems::of(sums, decoder, j), sums.active)))
    }
}
