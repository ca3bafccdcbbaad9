//! What pages show of latents, and how much of it rests in memory.

use store::SHELVED;

/// Latents that are read before anybody asks, in all: two dictionaries of the paper's size.
const AHEAD: usize = 163_840;
/// What a latent takes.
const LATENT_BYTES: u64 = 2_048;
/// What DuckDB may take, for the study and for saved runs.
const DATABASE_BYTES: u64 = 384_000_000;

/// The first dictionaries, told by their numbers of latents, that are read before anybody asks.
pub(crate) fn ahead(latents: impl Iterator<Item = usize>) -> impl Iterator<Item = usize> {
    latents.scan(AHEAD, |left, latents| {
        *left = left.checked_sub(latents)?;
        Some(latents)
    })
}

/// Bytes that pages need in all, once all have been looked at, from the numbers of latents of all dictionaries.
pub(crate) fn memory(latents: impl IntoIterator<Item = usize>) -> u64 {
    let latents: usize = latents.into_iter().map(|n| n.min(SHELVED)).sum();
    latents as u64 * LATENT_BYTES + DATABASE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionaries_are_read_ahead_as_long_as_there_is_room() {
        let chosen = |latents: &[usize]| ahead(latents.iter().copied()).count();
        assert_eq!(chosen(&[73_728, 73_728, 73_728]), 2);
        assert_eq!(chosen(&[1 << 20, 100]), 0);
        assert_eq!(chosen(&[]), 0);
        let of_both = (100 + SHELVED as u64) * LATENT_BYTES;
        assert_eq!(memory([100, 1 << 20]), DATABASE_BYTES + of_both);
    }
}
