//! What a dictionary's weights alone say of its latents.

use api::{Betas, ClassCuts, LatentRow};

use crate::{class, cosine, delta_norm};

/// Row of latent `id` with decoder norms `norms` and decoder rows `rows`, base then chat; what needs activations is unknown.
pub fn weight_row(id: u32, norms: [f32; 2], rows: [&[f32]; 2], cuts: &ClassCuts) -> LatentRow {
    let delta_norm = delta_norm(norms[0], norms[1]);
    LatentRow {
        id,
        class: class(delta_norm, cuts),
        dead: None,
        label: None,
        verdict: None,
        delta_norm,
        norm_base: f64::from(norms[0]),
        norm_chat: f64::from(norms[1]),
        decoder_cosine: cosine(rows[0], rows[1]),
        nu_epsilon: None,
        nu_r: None,
        betas: Betas::default(),
        frequency: None,
        active_tokens: None,
        tokens: None,
        max_activation: None,
        mean_activation: None,
        template_share: None,
    }
}
