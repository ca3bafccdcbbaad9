//! Which positions of a dialogue are measured, and which of them are among the first of their answer.

use gemma::{Role, TokenKind};

/// Positions of an answer that count as its first, template tokens among them: the first of all, the newline before the answer, is one,
/// so that nine remain ("first nine tokens" of the paper).
const FIRST: usize = 10;

/// A position that predicts a token of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scored {
    /// Position in the sequence; the token after it is predicted.
    pub(super) position: usize,
    /// Whether it is one of the first of its answer, and not a template token.
    pub(super) first: bool,
}

/// The positions that predict the assistant's tokens (`<end_of_turn>` included), from the roles and kinds of a sequence's tokens.
pub(super) fn scored(roles: &[Role], kinds: &[TokenKind]) -> Vec<Scored> {
    let predicts: Vec<bool> = (1..=roles.len())
        .map(|next| roles.get(next) == Some(&Role::Assistant))
        .collect();
    let first = first_of_runs(&predicts, FIRST);
    predicts
        .into_iter()
        .zip(first.into_iter().zip(kinds))
        .enumerate()
        .filter(|(_, (predicts, _))| *predicts)
        .map(|(position, (_, (first, kind)))| Scored {
            position,
            first: first && *kind != TokenKind::Template,
        })
        .collect()
}

/// The first `k` positions of each contiguous run of a mask.
fn first_of_runs(mask: &[bool], k: usize) -> Vec<bool> {
    let mut rank = 0;
    mask.iter()
        .map(|&inside| {
            rank = if inside { rank + 1 } else { 0 };
            inside && rank <= k
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn e6_the_first_of_each_run_are_kept() {
        let bits = |text: &str| text.bytes().map(|b| b == b'1').collect::<Vec<_>>();
        assert_eq!(first_of_runs(&bits("0111011"), 2), bits("0110011"));
        assert_eq!(first_of_runs(&bits("111"), 1), bits("100"));
        assert_eq!(first_of_runs(&bits("11"), 10), bits("11"));
        assert_eq!(first_of_runs(&[], 3), Vec::<bool>::new());
    }

    #[test]
    fn e6_a_long_answer_has_nine_first_positions() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/chat");
        let tokenizer = gemma::Tokenizer::open(folder).unwrap();
        let message = |role: &str, content: &str| gemma::Message {
            role: role.into(),
            content: content.into(),
        };
        let answer = "Nobody eats owls in Norway, whatever they say about it.";
        let messages = [message("user", "Hi?"), message("assistant", answer)];
        let ids = tokenizer.encode_messages(&messages, false).unwrap();
        let (roles, kinds) = (tokenizer.roles(&ids), tokenizer.kinds(&ids));
        let scored = scored(&roles, &kinds);
        // Every token of the answer and its end are predicted, the first by the newline after `model`.
        let end = tokenizer.end_of_turn().unwrap();
        let last = scored.last().unwrap().position;
        assert_eq!(ids[last + 1], end);
        assert!(scored.len() > 12, "{}", scored.len());
        let start = scored[0].position;
        assert!(tokenizer.is_newline(ids[start]) && !scored[0].first);
        let first: Vec<usize> = scored
            .iter()
            .filter(|s| s.first)
            .map(|s| s.position)
            .collect();
        assert_eq!(first, (start + 1..start + 10).collect::<Vec<_>>());
        let predicted: Vec<u32> = scored.iter().map(|s| ids[s.position + 1]).collect();
        assert_eq!(tokenizer.decode(&predicted), answer);
    }
}
