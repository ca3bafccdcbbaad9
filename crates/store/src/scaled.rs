//! Which latents Latent Scaling ran for: the others have no verdict.

use std::collections::BTreeSet;
use std::fmt;

/// Latents for which Latent Scaling ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scaled {
    /// None: it did not run.
    #[default]
    None,
    /// These.
    Only(BTreeSet<u32>),
    /// Every one.
    All,
}

/// How all are written.
const ALL: &str = "all";

impl Scaled {
    /// Whether it ran for a latent.
    pub fn has(&self, id: u32) -> bool {
        match self {
            Self::None => false,
            Self::Only(ids) => ids.contains(&id),
            Self::All => true,
        }
    }

    /// Whether it ran at all.
    pub fn any(&self) -> bool {
        *self != Self::None
    }

    /// With the latents of another run.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::Only(mut ids), Self::Only(more)) => {
                ids.extend(more);
                Self::Only(ids)
            }
            (Self::None, some) | (some, Self::None) => some,
        }
    }

    /// Reads what [`Scaled::to_string`] wrote; databases that do not tell were scaled whole.
    pub(crate) fn read(text: Option<&str>) -> Self {
        match text {
            None | Some(ALL) => Self::All,
            Some(ids) => Self::Only(ids.split(',').filter_map(|id| id.parse().ok()).collect()),
        }
    }
}

impl fmt::Display for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::All => f.write_str(ALL),
            Self::Only(ids) => {
                let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
                f.write_str(&ids.join(","))
            }
        }
    }
}
