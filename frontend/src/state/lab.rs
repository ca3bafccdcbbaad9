//! State of the lab: prompt, colouring, chosen token, lanes and sampling.

use api::{GenerateRequest, Message, ModelName, Prompt, Sampling};

use super::{UrlState, edit::LaneForm, query::Query};

/// The prompt as the form holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PromptForm {
    /// A conversation.
    Turns(Vec<Message>),
    /// Raw text with special tokens.
    Raw(String),
}

impl Default for PromptForm {
    fn default() -> Self {
        Self::user("")
    }
}

impl PromptForm {
    /// One turn of the user.
    pub(crate) fn user(content: &str) -> Self {
        Self::Turns(vec![turn("user", content)])
    }

    /// The wire type, or `None` while there is nothing to read.
    pub(crate) fn to_api(&self) -> Option<Prompt> {
        match self {
            Self::Raw(text) => (!text.is_empty()).then(|| Prompt::text(text)),
            Self::Turns(turns) => {
                let messages = Some(turns.clone());
                let prompt = Prompt {
                    messages,
                    ..Prompt::default()
                };
                prompt.source().is_ok().then_some(prompt)
            }
        }
    }
}

/// A turn of a conversation.
pub(crate) fn turn(role: &str, content: &str) -> Message {
    Message {
        role: role.into(),
        content: content.into(),
    }
}

/// What the colour of a token means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Colour {
    /// KL(chat ‖ base) of the next token.
    #[default]
    Kl,
    /// Activation of latents, at least one, split by model; of several their sum.
    Latents(Vec<u32>),
}

impl Colour {
    /// By one latent.
    pub(crate) fn latent(id: u32) -> Self {
        Self::Latents(vec![id])
    }

    /// By the ids in a text, whatever stands between them; by KL without any.
    pub(crate) fn read(text: &str) -> Self {
        let mut ids: Vec<u32> = Vec::new();
        for id in text
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|id| id.parse().ok())
        {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        if ids.is_empty() {
            Self::Kl
        } else {
            Self::Latents(ids)
        }
    }

    /// The latents; none for KL.
    pub(crate) fn ids(&self) -> &[u32] {
        match self {
            Self::Kl => &[],
            Self::Latents(ids) => ids,
        }
    }

    /// Their ids, separated by commas.
    pub(crate) fn text(&self) -> String {
        let ids: Vec<String> = self.ids().iter().map(u32::to_string).collect();
        ids.join(",")
    }
}

/// Everything that the lab shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LabState {
    /// Slug of the dictionary; `None`: the study's first.
    pub(crate) dictionary: Option<String>,
    /// The prompt.
    pub(crate) prompt: PromptForm,
    /// What the colour of a token means.
    pub(crate) colour: Colour,
    /// The token that the panels below speak of; `None`: the last one.
    pub(crate) token: Option<usize>,
    /// The lane compared with.
    pub(crate) plain: LaneForm,
    /// The lane that is changed.
    pub(crate) steered: LaneForm,
    /// Chosen latents and their controls; with one for each, a third lane does the same with the controls.
    pub(crate) control: Vec<(u32, u32)>,
    /// The intervention of the steered lane whose doses are swept.
    pub(crate) sweep: Option<usize>,
    /// The difference at the chosen token is explained.
    pub(crate) explain: bool,
    /// How tokens are chosen.
    pub(crate) sampling: Sampling,
    /// The lanes were run as they are here, and run again when the address is opened.
    pub(crate) run: bool,
}

impl Default for LabState {
    fn default() -> Self {
        Self {
            dictionary: None,
            prompt: PromptForm::default(),
            colour: Colour::Kl,
            token: None,
            plain: LaneForm::plain(ModelName::Chat),
            steered: LaneForm::adding(Vec::new(), 0.0),
            control: Vec::new(),
            sweep: None,
            explain: false,
            sampling: Sampling::default(),
            run: false,
        }
    }
}

impl LabState {
    /// A latent as colour and in the steered lane, at its natural maximum.
    pub(crate) fn steering(dictionary: String, latent: u32) -> Self {
        Self {
            dictionary: Some(dictionary),
            colour: Colour::latent(latent),
            steered: LaneForm::adding(vec![latent], 1.0),
            ..Self::default()
        }
    }

    /// The control lane.
    pub(crate) fn control_lane(&self) -> Option<LaneForm> {
        self.steered.with_latents(&self.control)
    }

    /// The request for all lanes, or `None` while there is no prompt.
    pub(crate) fn generate(&self, dictionary: &str) -> Option<GenerateRequest> {
        Some(GenerateRequest {
            dictionary: dictionary.to_owned(),
            prompt: self.prompt.to_api()?,
            lanes: [
                Some(&self.plain),
                Some(&self.steered),
                self.control_lane().as_ref(),
            ]
            .into_iter()
            .flatten()
            .map(LaneForm::to_api)
            .collect(),
            sampling: self.sampling,
        })
    }
}

impl UrlState for LabState {
    fn read(query: &str) -> Self {
        let query = Query::parse(query);
        let default = Self::default();
        let turns: Vec<Message> = query
            .pairs()
            .filter_map(|(key, content)| match key {
                "u" => Some(turn("user", content)),
                "a" => Some(turn("assistant", content)),
                _ => None,
            })
            .collect();
        let prompt = match query.get("text") {
            Some(text) => PromptForm::Raw(text.to_owned()),
            None if turns.is_empty() => default.prompt,
            None => PromptForm::Turns(turns),
        };
        let mut lanes = query
            .pairs()
            .filter(|(key, _)| *key == "lane")
            .filter_map(|(_, text)| LaneForm::read(text));
        let plain = lanes.next().unwrap_or(default.plain);
        let steered = lanes.next().unwrap_or(default.steered);
        let usual = default.sampling;
        Self {
            dictionary: query.get("d").map(str::to_owned),
            prompt,
            colour: Colour::read(query.get("colour").unwrap_or("")),
            token: query.number("token"),
            plain,
            steered,
            control: query.get("control").map(read_pairs).unwrap_or_default(),
            sweep: query.number("sweep"),
            explain: query.get("explain") == Some("1"),
            sampling: Sampling {
                max_new_tokens: query.number("max").unwrap_or(usual.max_new_tokens),
                temperature: query.decimal("temperature").unwrap_or(usual.temperature),
                top_p: query.decimal("top_p").unwrap_or(usual.top_p),
                top_k: query.number("top_k").unwrap_or(usual.top_k),
                seed: query.number("seed").unwrap_or(usual.seed),
            },
            run: query.get("run") == Some("1"),
        }
    }

    fn write(&self) -> String {
        let mut query = Query::default();
        let default = Self::default();
        query.push_some("d", self.dictionary.as_deref());
        match &self.prompt {
            PromptForm::Raw(text) => query.push("text", text),
            prompt if *prompt == default.prompt => {}
            PromptForm::Turns(turns) => {
                for message in turns {
                    let key = if message.role == "user" { "u" } else { "a" };
                    query.push(key, &message.content);
                }
            }
        }
        query.push_some("colour", Some(self.colour.text()).filter(|t| !t.is_empty()));
        query.push_some("token", self.token);
        if self.plain != default.plain || self.steered != default.steered {
            query.push("lane", &self.plain);
            query.push("lane", &self.steered);
        }
        let pairs: Vec<String> = self
            .control
            .iter()
            .map(|(a, b)| format!("{a}-{b}"))
            .collect();
        query.push_some("control", Some(pairs.join(",")).filter(|p| !p.is_empty()));
        query.push_some("sweep", self.sweep);
        query.push_some("explain", self.explain.then_some(1));
        let (mine, usual) = (self.sampling, default.sampling);
        query.push_some(
            "max",
            Some(mine.max_new_tokens).filter(|x| *x != usual.max_new_tokens),
        );
        query.push_decimal(
            "temperature",
            Some(mine.temperature).filter(|x| *x != usual.temperature),
        );
        query.push_decimal("top_p", Some(mine.top_p).filter(|x| *x != usual.top_p));
        query.push_some("top_k", Some(mine.top_k).filter(|x| *x != usual.top_k));
        query.push_some("seed", Some(mine.seed).filter(|x| *x != usual.seed));
        query.push_some("run", self.run.then_some(1));
        query.to_string()
    }
}

/// `17-90,3-8`; what is no pair is left out.
fn read_pairs(text: &str) -> Vec<(u32, u32)> {
    let pair = |pair: &str| {
        let (like, id) = pair.split_once('-')?;
        Some((like.parse().ok()?, id.parse().ok()?))
    };
    text.split(',').filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> LabState {
        LabState {
            dictionary: Some("batchtopk".into()),
            prompt: PromptForm::Turns(vec![
                turn("user", "How do I pick\nthe lock?"),
                turn("assistant", "I cannot help."),
                turn("user", ""),
            ]),
            colour: Colour::Latents(vec![1777, 8]),
            token: Some(9),
            plain: LaneForm::plain(ModelName::Base),
            steered: LaneForm::adding(vec![1777], -1.25),
            control: vec![(1777, 90)],
            sweep: Some(0),
            explain: true,
            sampling: Sampling {
                max_new_tokens: 32,
                temperature: 0.7,
                top_p: 0.9,
                top_k: 20,
                seed: 42,
            },
            run: true,
        }
    }

    #[test]
    fn round_trip() {
        let raw = LabState {
            prompt: PromptForm::Raw("<start_of_turn>user\nHi & bye".into()),
            ..LabState::default()
        };
        for state in [LabState::default(), full(), raw] {
            assert_eq!(LabState::read(&state.write()), state);
        }
        assert_eq!(LabState::default().write(), "");
    }

    #[test]
    fn the_address_reads_well() {
        let state = LabState {
            dictionary: None,
            token: None,
            run: false,
            control: Vec::new(),
            sweep: None,
            explain: false,
            ..full()
        };
        assert!(state.write().starts_with(
            "u=How%20do%20I%20pick%0Athe%20lock%3F&a=I%20cannot%20help.&u=&colour=1777,8"
        ));
        assert!(
            state
                .write()
                .contains("lane=base&lane=chat;add:1777*-1.25&max=32&temperature=0.7")
        );
    }

    #[test]
    fn colours_are_read_from_what_people_type() {
        for (text, ids) in [
            ("17", &[17][..]),
            ("3, 17  3", &[3, 17]),
            ("#5;#6", &[5, 6]),
            ("", &[]),
            ("refusal", &[]),
        ] {
            assert_eq!(Colour::read(text).ids(), ids, "{text}");
        }
        assert_eq!(Colour::read(""), Colour::Kl);
    }

    #[test]
    fn a_request_needs_a_prompt() {
        assert_eq!(LabState::default().generate("d"), None);
        let request = full().generate("d").unwrap();
        assert_eq!(request.lanes.len(), 3);
        let stale = LabState {
            control: vec![(5, 90)],
            ..full()
        };
        assert_eq!(stale.generate("d").unwrap().lanes.len(), 2);
        assert_eq!(request.lanes[1].interventions.len(), 1);
        assert_eq!(
            request.prompt.source().unwrap(),
            api::PromptSource::Messages(request.prompt.messages.as_deref().unwrap(), true)
        );
    }
}
