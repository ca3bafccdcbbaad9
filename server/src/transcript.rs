//! What a stream of generation events comes to, lane by lane.

use api::{DoneReason, GenerateEvent, RunOutput, RunToken};

/// The tokens of a generation, as its events are heard.
pub(crate) struct Transcript(Vec<(Option<DoneReason>, Vec<RunToken>)>);

impl Transcript {
    /// Nothing heard yet.
    pub(crate) fn new(lanes: usize) -> Self {
        Self(vec![(None, Vec::new()); lanes])
    }

    /// Takes an event in.
    pub(crate) fn hear(&mut self, event: &GenerateEvent) {
        match event {
            GenerateEvent::Token(token) => {
                if let Some((_, tokens)) = self.0.get_mut(token.lane) {
                    tokens.push(RunToken {
                        id: token.id,
                        text: token.text.clone(),
                        logprob: token.logprob,
                    });
                }
            }
            GenerateEvent::Done(done) => {
                if let Some((reason, _)) = self.0.get_mut(done.lane) {
                    *reason = Some(done.reason);
                }
            }
            GenerateEvent::Meta(_) | GenerateEvent::Queued(_) | GenerateEvent::Error(_) => (),
        }
    }

    /// The outputs, if every lane came to its own end.
    pub(crate) fn whole(&self) -> Option<Vec<RunOutput>> {
        let own = |(reason, tokens): &(Option<DoneReason>, Vec<RunToken>)| {
            let reason = reason.filter(|reason| *reason != DoneReason::Cancelled)?;
            Some(RunOutput {
                reason,
                tokens: tokens.clone(),
            })
        };
        self.0.iter().map(own).collect()
    }
}
