//! Requests to the server as plain values, so that equal requests can be told from changed ones.

use api::{ActivationsRequest, GenerateRequest};

use crate::state::query::{Query, encode};

/// Where every route of the interface begins.
const ROOT: &str = "/api/v1";

/// A GET, or a POST where there is a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Path and query.
    pub(crate) path: String,
    /// JSON.
    pub(crate) body: Option<String>,
}

impl Request {
    fn get(path: &str) -> Self {
        Self {
            path: format!("{ROOT}{path}"),
            body: None,
        }
    }

    fn post(path: &str, body: Result<String, serde_json::Error>) -> Self {
        // These types have string keys only, so writing them cannot fail.
        Self {
            path: format!("{ROOT}{path}"),
            body: Some(body.unwrap_or_default()),
        }
    }

    /// What is loaded and available.
    pub(crate) fn study() -> Self {
        Self::get("/study")
    }

    /// The state of the models.
    pub(crate) fn readiness() -> Self {
        Self {
            path: "/readyz".into(),
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

    /// One latent.
    pub(crate) fn latent(dictionary: &str, id: u32) -> Self {
        Self::get(&format!(
            "/dictionaries/{}/latents/{id}",
            encode(dictionary)
        ))
    }

    /// Whole columns of the table as a binary block.
    pub(crate) fn columns(dictionary: &str, names: &str) -> Self {
        Self::get(&format!(
            "/dictionaries/{}/columns?names={names}",
            encode(dictionary)
        ))
    }

    /// Examples of a latent, of one group or of all, strongest first.
    pub(crate) fn examples(
        dictionary: &str,
        id: u32,
        group: Option<u32>,
        cursor: Option<&str>,
    ) -> Self {
        let mut query = Query::default();
        query.push_some("group", group);
        query.push_some("cursor", cursor);
        let query = query.to_string();
        let between = if query.is_empty() { "" } else { "?" };
        Self::get(&format!(
            "/dictionaries/{}/latents/{id}/examples{between}{query}",
            encode(dictionary)
        ))
    }

    /// One prompt through both models.
    pub(crate) fn activations(request: &ActivationsRequest) -> Self {
        Self::post("/activations", serde_json::to_string(request))
    }

    /// Lanes generating side by side.
    pub(crate) fn generate(request: &GenerateRequest) -> Self {
        Self::post("/generate", serde_json::to_string(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded() {
        assert_eq!(
            Request::latent("a/b c", 7).path,
            "/api/v1/dictionaries/a%2Fb%20c/latents/7"
        );
        assert_eq!(
            Request::examples("d", 7, None, None).path,
            "/api/v1/dictionaries/d/latents/7/examples"
        );
        assert_eq!(
            Request::examples("d", 7, Some(4), Some("x=")).path,
            "/api/v1/dictionaries/d/latents/7/examples?group=4&cursor=x%3D"
        );
        assert_eq!(
            Request::latents("d", "limit=100").path,
            "/api/v1/dictionaries/d/latents?limit=100"
        );
    }
}
