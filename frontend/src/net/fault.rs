//! What can go wrong between the page and the server, in words.

use api::Problem;

use super::answer::read;

/// Why a request gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server said what is wrong.
    Problem(Problem),
    /// No answer came.
    Unreachable,
    /// An answer came that is not what the interface promises.
    Garbled(String),
    /// The page itself gave the request up.
    Aborted,
}

impl Fault {
    /// Reads the body of an answer that is no success.
    pub(crate) fn from_answer(status: u16, body: &[u8]) -> Self {
        read(body).map_or_else(
            |_| Self::Garbled(format!("The server answered {status} without saying why.")),
            Self::Problem,
        )
    }

    /// The fault in a few words.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Problem(problem) => problem.title.clone(),
            Self::Unreachable => "The server does not answer".into(),
            Self::Garbled(_) => "The answer cannot be read".into(),
            Self::Aborted => "Stopped".into(),
        }
    }

    /// What happened and what to do about it.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Problem(problem) => problem.detail.clone(),
            Self::Unreachable => {
                "It may have been stopped, or the network is down. Start it again with `stereoscope serve`, then try again.".into()
            }
            Self::Garbled(why) => format!("{why} The page and the server may be of different versions: reload the page."),
            Self::Aborted => "The request was given up.".into(),
        }
    }

    /// Whether the same request may succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.status >= 500,
            Self::Unreachable | Self::Garbled(_) => true,
            Self::Aborted => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_passed_on_and_other_bodies_named() {
        let body = r#"{"type":"/problems/unknown-latent","title":"Unknown latent","status":404,"detail":"There are 512."}"#;
        let fault = Fault::from_answer(404, body.as_bytes());
        assert_eq!(fault.title(), "Unknown latent");
        assert_eq!(fault.detail(), "There are 512.");
        assert!(!fault.may_pass());
        assert!(Fault::Unreachable.may_pass());
        assert!(Fault::from_answer(502, b"<html>").detail().contains("502"));
    }
}
