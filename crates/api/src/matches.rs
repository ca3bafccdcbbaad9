//! `GET /dictionaries/{dict}/matches`: latents beside the nearest ones of another dictionary.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Availability, Histogram, LatentRow};

/// Which decoder rows have to point the same way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MatchBy {
    /// The base row with the chat row behind it.
    #[default]
    Both,
    /// The chat row alone.
    Chat,
}

impl MatchBy {
    /// Every value, in the order of declaration.
    pub const ALL: [Self; 2] = [Self::Both, Self::Chat];

    /// The name used in JSON and addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Chat => "chat",
        }
    }
}

impl FromStr for MatchBy {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|by| by.as_str() == name);
        found.ok_or_else(|| format!("{name:?} is not one of both, chat"))
    }
}

/// A latent and the nearest one of the other dictionary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LatentMatch {
    /// The latent.
    pub latent: LatentRow,
    /// Cosine of the decoder rows; `null` where a row is zero.
    pub match_cosine: Option<f64>,
    /// The other dictionary's latent; `null` where a row is zero.
    pub matched: Option<LatentRow>,
}

/// Latents that match a filter, beside the other dictionary's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MatchesPage {
    /// Whether the nearest latents are known, else why not.
    pub computed: Availability,
    /// How many latents pass the filter, whatever their cosine.
    pub selected: u64,
    /// How many of these have a cosine within the bounds.
    pub total: u64,
    /// Cosines of the latents that pass the filter, whatever the bounds.
    pub cosines: Histogram,
    /// This page.
    pub rows: Vec<LatentMatch>,
}
