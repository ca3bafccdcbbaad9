//! How a lane's tokens are chosen, as an address has it: length, temperature, nucleus, number of tokens kept, seed.

use api::Sampling;

use crate::display::decimal::{self, shortest};

/// Reads what [`text`] writes; what is missing or cannot be read is usual.
pub(crate) fn read(text: &str) -> Sampling {
    let parts: Vec<&str> = text.split(',').collect();
    let part = |i: usize| parts.get(i).copied().unwrap_or("");
    let usual = Sampling::default();
    Sampling {
        max_new_tokens: part(0).parse().unwrap_or(usual.max_new_tokens),
        temperature: decimal::read(part(1)).unwrap_or(usual.temperature),
        top_p: decimal::read(part(2)).unwrap_or(usual.top_p),
        top_k: part(3).parse().unwrap_or(usual.top_k),
        seed: part(4).parse().unwrap_or(usual.seed),
    }
}

/// `128,0.7,0.9,40,3`
pub(crate) fn text(sampling: &Sampling) -> String {
    let parts = [
        sampling.max_new_tokens.to_string(),
        shortest(sampling.temperature),
        shortest(sampling.top_p),
        sampling.top_k.to_string(),
        sampling.seed.to_string(),
    ];
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let sampling = Sampling {
            max_new_tokens: 32,
            temperature: 0.7,
            top_p: 0.9,
            top_k: 40,
            seed: 7,
        };
        assert_eq!(text(&sampling), "32,0.7,0.9,40,7");
        assert_eq!(read(&text(&sampling)), sampling);
        assert_eq!(read(""), Sampling::default());
        assert_eq!(read("x,-,1"), Sampling::default());
    }
}
