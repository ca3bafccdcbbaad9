//! State of the latent page.

use super::{UrlState, query::Query};

/// How much of an example's sequence is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A few tokens around the strongest: many examples at a glance.
    Short,
    /// Some lines around it.
    #[default]
    Window,
    /// The sequence.
    Whole,
}

impl Extent {
    /// Every extent with its word in the address and on the page.
    pub(crate) const ALL: [(Self, &str); 3] = [
        (Self::Short, "short"),
        (Self::Window, "window"),
        (Self::Whole, "whole"),
    ];

    fn named(word: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(_, name)| *name == word);
        found.map(|(extent, _)| extent)
    }

    fn name(self) -> Option<&'static str> {
        let found = Self::ALL.into_iter().find(|(extent, _)| *extent == self);
        found.map(|(_, name)| name).filter(|_| self != Self::Window)
    }
}

/// Which examples are shown and which prompt is being tested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LatentState {
    /// Quantile group of the examples; `None` shows all groups, strongest first.
    pub(crate) group: Option<u32>,
    /// How much of each example is shown.
    pub(crate) extent: Extent,
    /// Template tokens of the examples are dimmed.
    pub(crate) dim: bool,
    /// Lines of the examples break where the text's lines do.
    pub(crate) breaks: bool,
    /// The corpus that the examples are of; `None`: every one.
    pub(crate) source: Option<String>,
    /// Another latent that the examples show as well.
    pub(crate) overlay: Option<u32>,
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
            extent: query
                .get("extent")
                .and_then(Extent::named)
                .unwrap_or_default(),
            dim: query.get("template") == Some("dim"),
            breaks: query.get("lines") == Some("break"),
            source: query.get("source").map(str::to_owned),
            overlay: query.number("overlay"),
            prompt: query.get("prompt").map(str::to_owned),
            raw: query.get("as") == Some("text"),
            from: query.get("from").map(str::to_owned),
        }
    }

    fn write(&self) -> String {
        let mut query = Query::default();
        query.push_some("group", self.group);
        query.push_some("extent", self.extent.name());
        query.push_some("template", self.dim.then_some("dim"));
        query.push_some("lines", self.breaks.then_some("break"));
        query.push_some("source", self.source.as_deref());
        query.push_some("overlay", self.overlay);
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
                extent: Extent::Whole,
                dim: true,
                breaks: true,
                source: Some("chat.jsonl".into()),
                overlay: Some(12),
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
