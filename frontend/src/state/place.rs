//! Which page a path shows.

use super::query::{decode, encode};

/// A page with what its path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `/`
    Study,
    /// `/d/{dictionary}`
    Latents {
        /// Slug of the dictionary.
        dictionary: String,
    },
    /// `/d/{dictionary}/l/{id}`
    Latent {
        /// Slug of the dictionary.
        dictionary: String,
        /// The id as written, which need not be a number.
        id: String,
    },
    /// `/lab`
    Lab,
    /// `/r/{id}`
    Run {
        /// Id of the saved run.
        id: String,
    },
    /// `/compare`
    Compare,
    /// `/method`
    Method,
    /// Anything else.
    Missing,
}

impl Place {
    /// Reads a path.
    pub(crate) fn read(path: &str) -> Self {
        let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
        match segments.as_slice() {
            [] => Self::Study,
            ["lab"] => Self::Lab,
            ["r", id] => Self::Run { id: decode(id) },
            ["compare"] => Self::Compare,
            ["method"] => Self::Method,
            ["d", dictionary] => Self::Latents {
                dictionary: decode(dictionary),
            },
            ["d", dictionary, "l", id] => Self::Latent {
                dictionary: decode(dictionary),
                id: decode(id),
            },
            _ => Self::Missing,
        }
    }

    /// The page without what its path names: two places of one kind are the same page showing different things.
    pub(crate) fn kind(&self) -> std::mem::Discriminant<Self> {
        std::mem::discriminant(self)
    }

    /// The dictionary that the path names.
    pub(crate) fn dictionary(&self) -> Option<&str> {
        match self {
            Self::Latents { dictionary } | Self::Latent { dictionary, .. } => Some(dictionary),
            Self::Study
            | Self::Lab
            | Self::Run { .. }
            | Self::Compare
            | Self::Method
            | Self::Missing => None,
        }
    }
}

/// The address of a dictionary's table, from the page's base.
pub(crate) fn latents_path(dictionary: &str) -> String {
    format!("d/{}", encode(dictionary))
}

/// The address of a latent, from the page's base.
pub(crate) fn latent_path(dictionary: &str, id: u32) -> String {
    format!("{}/l/{id}", latents_path(dictionary))
}

/// The address of two dictionaries compared, from the page's base.
pub(crate) fn compare_path(left: &str, right: &str) -> String {
    format!("compare?left={}&right={}", encode(left), encode(right))
}

/// The path of a saved run.
pub(crate) fn run_path(id: &str) -> String {
    format!("r/{}", encode(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_places() {
        let dictionary = String::from("batch top/k");
        assert_eq!(Place::read("/"), Place::Study);
        assert_eq!(Place::read("/lab"), Place::Lab);
        assert_eq!(Place::read("/method"), Place::Method);
        assert_eq!(Place::read("/compare"), Place::Compare);
        assert_eq!(
            Place::read(&latents_path(&dictionary)),
            Place::Latents {
                dictionary: dictionary.clone()
            }
        );
        let latent = Place::read(&latent_path(&dictionary, 7));
        assert_eq!(
            latent,
            Place::Latent {
                dictionary: dictionary.clone(),
                id: "7".into()
            }
        );
        assert_eq!(latent.dictionary(), Some(dictionary.as_str()));
        assert_eq!(
            Place::read(&run_path("0a1b")),
            Place::Run { id: "0a1b".into() }
        );
        for lost in ["/d", "/d/x/l", "/d/x/l/7/more", "/laboratory", "/r"] {
            assert_eq!(Place::read(lost), Place::Missing, "{lost}");
        }
    }

    #[test]
    fn one_page_shows_many_latents() {
        let (one, two) = (Place::read("/d/x/l/1"), Place::read("/d/y/l/2"));
        assert_eq!(one.kind(), two.kind());
        assert_ne!(one.kind(), Place::read("/d/x").kind());
    }
}
