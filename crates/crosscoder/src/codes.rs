//! Sparse codes on the host: the active latents of every token.

/// One active latent at one token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Active {
    /// Latent id.
    pub id: u32,
    /// Unscaled code, base then chat. Equal unless the code normalisation is DECOUPLED.
    pub f: [f32; 2],
    /// Scaled activation v; for DECOUPLED summed over the models.
    pub v: f32,
}

/// Active latents of N tokens, by token and then id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Codes {
    pub(crate) offsets: Vec<usize>,
    pub(crate) active: Vec<Active>,
}

impl Codes {
    /// Adds other tokens' codes behind these.
    pub fn append(&mut self, other: &Self) {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        let before = self.active.len();
        let offsets = other.offsets.iter().skip(1);
        self.offsets.extend(offsets.map(|offset| before + offset));
        self.active.extend_from_slice(&other.active);
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Active latents of one token, by id; empty beyond the last token.
    pub fn token(&self, token: usize) -> &[Active] {
        match (self.offsets.get(token), self.offsets.get(token + 1)) {
            (Some(&from), Some(&to)) => self.active.get(from..to).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Active latents of all tokens in order.
    pub fn all(&self) -> &[Active] {
        &self.active
    }

    /// v of one latent at every token, 0 where inactive.
    pub fn values(&self, latent: u32) -> Vec<f32> {
        (0..self.tokens())
            .map(|t| {
                let token = self.token(t);
                token
                    .binary_search_by_key(&latent, |a| a.id)
                    .ok()
                    .and_then(|i| token.get(i))
                    .map_or(0.0, |a| a.v)
            })
            .collect()
    }

    /// The strongest active latents of one token as (id, v), by falling v, then id.
    pub fn top(&self, token: usize, k: usize) -> Vec<(u32, f32)> {
        let mut top: Vec<(u32, f32)> = self
            .token(token)
            .iter()
            .filter(|a| a.v > 0.0)
            .map(|a| (a.id, a.v))
            .collect();
        let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if k > 0 && k < top.len() {
            top.select_nth_unstable_by(k - 1, order);
        }
        top.truncate(k);
        top.sort_unstable_by(order);
        top
    }
}

/// Chosen latents at every token, and what each model puts into them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Halves {
    /// v, [J][N]; 0 where inactive.
    pub values: Vec<Vec<f32>>,
    /// w_j·⟨x'_base, W_enc[base,:,j]⟩, [J][N].
    pub base: Vec<Vec<f32>>,
    /// w_j·⟨x'_chat, W_enc[chat,:,j]⟩, [J][N].
    pub chat: Vec<Vec<f32>>,
}
