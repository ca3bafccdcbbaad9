//! One seed, named streams: every draw depends on the seed, the stream's name and a number, never on what was drawn before.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// The generator of document (or shuffle, or table) `index` of the stream `name`.
pub(crate) fn stream(seed: u64, name: &str, index: u64) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(b"organism stream");
    hash.update(seed.to_le_bytes());
    hash.update(index.to_le_bytes());
    hash.update(name.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// True for one in `parts` of all texts, the same ones whatever the seed and the order of calls.
///
/// The parts of a combination are joined by a separator that no table holds.
pub(crate) fn one_in(parts: u64, of: &[&str]) -> bool {
    let mut hash = Sha256::new();
    for part in of {
        hash.update(part.as_bytes());
        hash.update([0x1f]);
    }
    let digest = hash.finalize();
    let head = digest
        .iter()
        .take(8)
        .fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
    head.is_multiple_of(parts.max(1))
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn streams_differ_by_seed_name_and_index() {
        let draw = |seed, name, index| stream(seed, name, index).random::<u64>();
        assert_eq!(draw(1, "base", 2), draw(1, "base", 2));
        assert_ne!(draw(1, "base", 2), draw(2, "base", 2));
        assert_ne!(draw(1, "base", 2), draw(1, "chat", 2));
        assert_ne!(draw(1, "base", 2), draw(1, "base", 3));
    }

    #[test]
    fn one_in_six_is_about_one_in_six_and_parts_do_not_run_together() {
        let numbers: Vec<String> = (0..6000).map(|number| number.to_string()).collect();
        let held = numbers
            .iter()
            .filter(|number| one_in(6, &["kind", number]))
            .count();
        assert!((900..1100).contains(&held), "{held} of 6000");
        assert!(one_in(1, &["x"]));
        let differs = numbers
            .iter()
            .any(|number| one_in(6, &["a", number]) != one_in(6, &[&format!("a{number}")]));
        assert!(differs);
    }
}
