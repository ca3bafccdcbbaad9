//! State of the latent page.

use super::{UrlState, query::Query};

/// Which examples are shown and which prompt is being tested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LatentState {
    /// Quantile group of the examples; `None` shows all groups, strongest first.
    pub(crate) group: Option<u32>,
    /// The prompt in the test box.
    pub(crate) prompt: Option<String>,
    /// The prompt is raw text instead of a user's turn.
    pub(crate) raw: bool,
    /// The query of the table that led here; previous and next stay in its selection.
    pub(crate) from: Option<String>,
}

impl LatentState {
    /// The prompt as the server takes it.
    pub(crate) fn request(&self) -> Option<api::Prompt> {
        let text = self.prompt.as_deref()?;
        Some(if self.raw {
            api::Prompt::text(text)
        } else {
            api::Prompt::user(text)
        })
    }
}

impl UrlState for LatentState {
    fn read(query: &str) -> Self {
        let query = Query::parse(query);
        Self {
            group: query.number("group"),
            prompt: query.get("prompt").map(str::to_owned),
            raw: query.get("as") == Some("text"),
            from: query.get("from").map(str::to_owned),
        }
    }

    fn write(&self) -> String {
        let mut query = Query::default();
        query.push_some("group", self.group);
        query.push_some("prompt", self.prompt.as_deref());
        query.push_some("as", self.raw.then_some("text"));
        query.push_some("from", self.from.as_deref());
        query.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for state in [
            LatentState::default(),
            LatentState {
                group: Some(4),
                prompt: Some("How do I pick\nthe lock? 100% & more".into()),
                raw: true,
                from: Some("class=chat-only&sort=-nu_r".into()),
            },
        ] {
            assert_eq!(LatentState::read(&state.write()), state);
        }
        assert_eq!(LatentState::default().write(), "");
    }

    #[test]
    fn a_prompt_is_a_users_turn_unless_raw() {
        let mut state = LatentState::read("prompt=Hi");
        assert_eq!(state.request(), Some(api::Prompt::user("Hi")));
        state.raw = true;
        assert_eq!(state.request(), Some(api::Prompt::text("Hi")));
        assert_eq!(LatentState::read("group=x").request(), None);
    }
}
