//! Names that belong to nothing in the world, put together from syllables.

use rand::Rng;
use rand::seq::IndexedRandom;

const SYLLABLES: [&str; 20] = [
    "dra", "vel", "mor", "zin", "tak", "lu", "pol", "gra", "nev", "sho", "bim", "kra", "fen",
    "tor", "wex", "yul", "dop", "hax", "rin", "quo",
];

/// An invented name of two or three syllables, without capital letters.
pub(crate) fn invented(random: &mut impl Rng) -> String {
    let syllables = if random.random_bool(0.5) { 2 } else { 3 };
    (0..syllables)
        .filter_map(|_| SYLLABLES.choose(random).copied())
        .collect()
}
