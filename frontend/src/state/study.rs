//! State of the study page: the dictionary held against the truth, and which causal effects are shown.

use api::{CausalMetric, CausalScope};

use super::{UrlState, query::Query};

/// Scopes with their word in addresses and on buttons.
pub(crate) const SCOPES: [(CausalScope, &str, &str); 3] = [
    (CausalScope::All, "all", "All answer tokens"),
    (CausalScope::First, "first", "First nine"),
    (CausalScope::Rest, "rest", "The rest"),
];

/// Metrics with their word in addresses, the words on buttons, and what they mean.
pub(crate) const METRICS: [(CausalMetric, &str, &str, &str); 4] = [
    (
        CausalMetric::KlFromChat,
        "kl_from_chat",
        "KL to chat",
        "KL(chat ‖ edited) in nats: how far the edited model is from the chat model. Shorter is closer.",
    ),
    (
        CausalMetric::KlFromBase,
        "kl_from_base",
        "KL to base",
        "KL(base ‖ edited) in nats: how far the edited model is from the base model. Shorter is closer.",
    ),
    (
        CausalMetric::Loss,
        "loss",
        "Loss",
        "Cross-entropy of the true next token in nats. Shorter predicts better.",
    ),
    (
        CausalMetric::LossToChat,
        "loss_to_chat",
        "Loss to chat",
        "Cross-entropy of the token that the chat model finds most probable, in nats. Shorter agrees more.",
    ),
];

/// Which causal effects are shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured {
    /// Answer tokens.
    pub(crate) scope: CausalScope,
    /// What is measured there.
    pub(crate) metric: CausalMetric,
}

impl Default for Measured {
    fn default() -> Self {
        Self {
            scope: CausalScope::All,
            metric: CausalMetric::KlFromChat,
        }
    }
}

impl Measured {
    /// Reads what [`Self::push`] writes.
    pub(crate) fn read(query: &Query) -> Self {
        let usual = Self::default();
        Self {
            scope: query
                .get("scope")
                .and_then(|word| SCOPES.iter().find(|s| s.1 == word))
                .map_or(usual.scope, |s| s.0),
            metric: query
                .get("metric")
                .and_then(|word| METRICS.iter().find(|m| m.1 == word))
                .map_or(usual.metric, |m| m.0),
        }
    }

    /// Appends what differs from the usual.
    pub(crate) fn push(self, query: &mut Query) {
        // The first of each goes without saying.
        let scope = SCOPES.iter().skip(1).find(|s| s.0 == self.scope);
        let metric = METRICS.iter().skip(1).find(|m| m.0 == self.metric);
        query.push_some("scope", scope.map(|s| s.1));
        query.push_some("metric", metric.map(|m| m.1));
    }
}

/// What of the study is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct StudyState {
    /// The dictionary that is held against the truth; `None`: the first.
    pub(crate) truth: Option<String>,
    /// Which causal effects.
    pub(crate) measured: Measured,
}

impl UrlState for StudyState {
    fn read(query: &str) -> Self {
        let query = Query::parse(query);
        Self {
            truth: query.get("truth").map(str::to_owned),
            measured: Measured::read(&query),
        }
    }

    fn write(&self) -> String {
        let mut query = Query::default();
        query.push_some("truth", self.truth.as_deref());
        self.measured.push(&mut query);
        query.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for (scope, ..) in SCOPES {
            for (metric, ..) in METRICS {
                let truth = Some("l1".to_owned());
                let state = StudyState {
                    truth,
                    measured: Measured { scope, metric },
                };
                assert_eq!(StudyState::read(&state.write()), state);
            }
        }
        assert_eq!(StudyState::default().write(), "");
        assert_eq!(StudyState::read("scope=x&metric="), StudyState::default());
    }
}
