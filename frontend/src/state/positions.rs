//! Where an intervention acts, as an address has it.

use api::Positions;

/// Positions in an address: the wire's word, or a comma-separated list.
pub(crate) fn positions_text(positions: &Positions) -> String {
    match positions {
        Positions::All => "all".into(),
        Positions::Prompt => "prompt".into(),
        Positions::Generated => "generated".into(),
        Positions::Template => "template".into(),
        Positions::Content => "content".into(),
        Positions::FirstAnswer(k) => format!("first_answer-{k}"),
        Positions::List(list) => {
            let list: Vec<String> = list.iter().map(usize::to_string).collect();
            list.join(",")
        }
    }
}

/// Reads what [`positions_text`] writes.
pub(crate) fn read_positions(text: &str) -> Option<Positions> {
    Some(match text {
        "all" => Positions::All,
        "prompt" => Positions::Prompt,
        "generated" => Positions::Generated,
        "template" => Positions::Template,
        "content" => Positions::Content,
        _ => match text.strip_prefix("first_answer-") {
            Some(k) => Positions::FirstAnswer(k.parse().ok()?),
            None => Positions::List(
                text.split(',')
                    .map(|p| p.trim().parse().ok())
                    .collect::<Option<_>>()?,
            ),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_that_cannot_be_read_are_refused() {
        assert_eq!(read_positions("0, 3"), Some(Positions::List(vec![0, 3])));
        for bad in ["", "first_answer-", "1,x", "-1", "answers"] {
            assert_eq!(read_positions(bad), None, "{bad}");
        }
    }
}
