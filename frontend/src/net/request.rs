//! Requests to the server as plain values, so that equal requests can be told from changed ones.

use std::io::{self, Write};

use api::{ActivationsRequest, EffectsRequest, ExplainRequest, GenerateRequest};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::{
    display::decimal,
    state::query::{Query, encode},
};

/// Where every route of the interface begins, from the page's base.
const ROOT: &str = "api/v1";

/// A GET, or a POST where there is a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Path and query.
    pub(crate) path: String,
    /// JSON.
    pub(crate) body: Option<String>,
}

/// Writes numbers by [`decimal`], so that the tables of serde's own way stay out of the program.
struct Decimals;

impl Formatter for Decimals {
    fn write_f32<W: Write + ?Sized>(&mut self, out: &mut W, x: f32) -> io::Result<()> {
        self.write_f64(out, x.into())
    }

    fn write_f64<W: Write + ?Sized>(&mut self, out: &mut W, x: f64) -> io::Result<()> {
        out.write_all(decimal::shortest(x).as_bytes())
    }
}

impl Request {
    fn get(path: &str) -> Self {
        Self {
            path: format!("{ROOT}{path}"),
            body: None,
        }
    }

    fn post(path: &str, body: &impl Serialize) -> Self {
        let mut out = Vec::new();
        // These types have string keys only, so writing them cannot fail.
        let _ = body.serialize(&mut Serializer::with_formatter(&mut out, Decimals));
        Self {
            path: format!("{ROOT}{path}"),
            body: String::from_utf8(out).ok(),
        }
    }

    /// What is loaded and available.
    pub(crate) fn study() -> Self {
        Self::get("/study")
    }

    /// The document with every definition.
    pub(crate) fn method() -> Self {
        Self {
            path: "method.html".into(),
            body: None,
        }
    }

    /// The state of the models.
    pub(crate) fn readiness() -> Self {
        Self {
            path: "readyz".into(),
            body: None,
        }
    }

    /// A page of latents.
    pub(crate) fn latents(dictionary: &str, query: &str) -> Self {
        Self::get(&format!(
            "/dictionaries/{}/latents?{query}",
            encode(dictionary)
        ))
    }

    /// Latents beside the nearest ones of another dictionary.
    pub(crate) fn matches(dictionary: &str, other: &str, query: &str) -> Self {
        Self::dictionary(
            dictionary,
            &format!("matches?with={}&{query}", encode(other)),
        )
    }

    /// The latents of a selection as a file.
    pub(crate) fn export(dictionary: &str, format: &str, selection: &str) -> Self {
        let between = if selection.is_empty() { "" } else { "&" };
        Self::get(&format!(
            "/dictionaries/{}/latents/export?format={format}{between}{selection}",
            encode(dictionary)
        ))
    }

    /// One latent.
    pub(crate) fn latent(dictionary: &str, id: u32) -> Self {
        Self::get(&format!(
            "/dictionaries/{}/latents/{id}",
            encode(dictionary)
        ))
    }

    /// A latent's decoder rows.
    pub(crate) fn decoder(dictionary: &str, id: u32) -> Self {
        Self::dictionary(dictionary, &format!("latents/{id}/decoder"))
    }

    /// A part of what is known of a dictionary: `curves`, `effects` or `scaling`.
    pub(crate) fn dictionary(dictionary: &str, part: &str) -> Self {
        Self::get(&format!("/dictionaries/{}/{part}", encode(dictionary)))
    }

    /// Whole columns of the table as a binary block.
    pub(crate) fn columns(dictionary: &str, names: &str) -> Self {
        Self::get(&format!(
            "/dictionaries/{}/columns?names={names}",
            encode(dictionary)
        ))
    }

    /// Ids of the latents that a text search finds, as a column block.
    pub(crate) fn found(dictionary: &str, text: &str) -> Self {
        Self::columns(dictionary, &format!("id&q={}", encode(text)))
    }

    /// Examples of a latent, of one group or of all, of one source or of all, strongest first.
    pub(crate) fn examples(
        dictionary: &str,
        id: u32,
        group: Option<u32>,
        cursor: Option<&str>,
        source: Option<&str>,
    ) -> Self {
        let mut query = Query::default();
        query.push_some("group", group);
        query.push_some("source", source);
        query.push_some("cursor", cursor);
        let query = query.to_string();
        let between = if query.is_empty() { "" } else { "?" };
        Self::get(&format!(
            "/dictionaries/{}/latents/{id}/examples{between}{query}",
            encode(dictionary)
        ))
    }

    /// Examples of a latent that are these sequences.
    pub(crate) fn examples_on(dictionary: &str, id: u32, sequences: &[u64]) -> Self {
        let sequences: Vec<String> = sequences.iter().map(u64::to_string).collect();
        let part = format!("latents/{id}/examples?sequences={}", sequences.join(","));
        Self::dictionary(dictionary, &part)
    }

    /// One prompt through both models.
    pub(crate) fn activations(request: &ActivationsRequest) -> Self {
        Self::post("/activations", request)
    }

    /// Lanes generating side by side.
    pub(crate) fn generate(request: &GenerateRequest) -> Self {
        Self::post("/generate", request)
    }

    /// Lanes under teacher forcing.
    pub(crate) fn effects(request: &EffectsRequest) -> Self {
        Self::post("/effects", request)
    }

    /// The latents that explain the difference at a token.
    pub(crate) fn explain(request: &ExplainRequest) -> Self {
        Self::post("/explain", request)
    }

    /// Keeps a generation.
    pub(crate) fn save(request: &GenerateRequest) -> Self {
        Self::post("/runs", request)
    }

    /// A saved run.
    pub(crate) fn run(id: &str) -> Self {
        Self::get(&format!("/runs/{}", encode(id)))
    }

    /// Runs a saved run again.
    pub(crate) fn verify(id: &str) -> Self {
        Self {
            body: Some(String::new()),
            ..Self::get(&format!("/runs/{}/verify", encode(id)))
        }
    }

    /// Random latents like the chosen ones.
    pub(crate) fn controls(dictionary: &str, latents: &[u32], seed: u64) -> Self {
        let latents: Vec<String> = latents.iter().map(u32::to_string).collect();
        let query = format!("controls?latents={}&seed={seed}", latents.join(","));
        Self::dictionary(dictionary, &query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_what_the_server_reads() {
        let asked = ActivationsRequest {
            dictionary: "d".into(),
            prompt: api::Prompt::user("“Hi” 0.1"),
            latents: api::LatentSet::Ids(vec![3, 17]),
            top_k: 8,
            kl: false,
        };
        let body = Request::activations(&asked).body.unwrap();
        assert_eq!(
            serde_json::from_str::<ActivationsRequest>(&body).unwrap(),
            asked
        );
        let lane = api::Lane {
            model: api::ModelName::Chat,
            interventions: vec![api::Intervention::Scale {
                latents: vec![1],
                factor: 0.1,
                decoder: None,
                positions: api::Positions::FirstAnswer(10),
            }],
            sampling: None,
        };
        let asked = GenerateRequest {
            dictionary: "d".into(),
            prompt: api::Prompt::text("x"),
            lanes: vec![lane],
            sampling: api::Sampling {
                temperature: 0.7,
                ..api::Sampling::default()
            },
        };
        let body = Request::generate(&asked).body.unwrap();
        assert_eq!(
            serde_json::from_str::<GenerateRequest>(&body).unwrap(),
            asked
        );
    }

    #[test]
    fn paths_are_encoded() {
        assert_eq!(
            Request::latent("a/b c", 7).path,
            "api/v1/dictionaries/a%2Fb%20c/latents/7"
        );
        assert_eq!(
            Request::examples("d", 7, None, None, None).path,
            "api/v1/dictionaries/d/latents/7/examples"
        );
        assert_eq!(
            Request::examples("d", 7, Some(4), Some("x="), Some("web")).path,
            "api/v1/dictionaries/d/latents/7/examples?group=4&source=web&cursor=x%3D"
        );
        assert_eq!(
            Request::latents("d", "limit=100").path,
            "api/v1/dictionaries/d/latents?limit=100"
        );
    }
}
