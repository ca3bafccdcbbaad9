//! What can go wrong with the hub, each as a sentence that names the repository, the file and the remedy.

use std::path::PathBuf;

use crate::Reference;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A repository that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No repository can be called so.
    #[error("hub:{id} is not a repository of the hub: {problem}")]
    Reference {
        /// The text.
        id: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Nothing says where the cache is.
    #[error("the hub's cache has no place: there is no home folder; name one in HF_HOME")]
    Home,
    /// Offline, and the cache lacks it.
    #[error(
        "{reference} is not whole in the cache {}: {file} is missing; run the same command once with the network, without --offline \
         and HF_HUB_OFFLINE", cache.display()
    )]
    NotCached {
        /// The repository.
        reference: Reference,
        /// The first missing file.
        file: String,
        /// The cache.
        cache: PathBuf,
    },
    /// The program has no client.
    #[error(
        "{reference} is not whole in the cache {}, and this program was built without the feature `hub`, which fetches it; build it with \
         that feature, or fetch the repository with `hf download {}`", cache.display(), reference.id()
    )]
    NotBuilt {
        /// The repository.
        reference: Reference,
        /// The cache.
        cache: PathBuf,
    },
    /// The hub did not answer.
    #[error(
        "{endpoint} cannot be reached for {reference}: {reason}; check the network, or give the folder of a copy"
    )]
    Network {
        /// Address of the hub.
        endpoint: String,
        /// The repository.
        reference: Reference,
        /// What the system said.
        reason: String,
    },
    /// 401 without a token.
    #[error(
        "the hub shows {reference} only to those who say who they are: it is gated, private, or does not exist; accept its terms at \
         {endpoint}/{} and give your token in HF_TOKEN, or log in with `hf auth login`", reference.id()
    )]
    NoToken {
        /// Address of the hub.
        endpoint: String,
        /// The repository.
        reference: Reference,
    },
    /// 401 with a token.
    #[error(
        "the hub does not accept the token that was given for {reference}; make a new one at {endpoint}/settings/tokens and give it in \
         HF_TOKEN, or log in with `hf auth login`"
    )]
    WrongToken {
        /// Address of the hub.
        endpoint: String,
        /// The repository.
        reference: Reference,
    },
    /// 403.
    #[error(
        "the token's account may not read {reference}: accept its terms at {endpoint}/{} and allow the token to read gated repositories", reference.id()
    )]
    Gated {
        /// Address of the hub.
        endpoint: String,
        /// The repository.
        reference: Reference,
    },
    /// 404.
    #[error("{endpoint} has no {what} of {reference}; check its name and revision")]
    NotFound {
        /// Address of the hub.
        endpoint: String,
        /// The repository.
        reference: Reference,
        /// `such repository or revision`, or a file.
        what: String,
    },
    /// Another status.
    #[error("{endpoint} answered with status {status} for {file} of {reference}; try again later")]
    Status {
        /// Address of the hub.
        endpoint: String,
        /// The repository.
        reference: Reference,
        /// The file.
        file: String,
        /// The status.
        status: u16,
    },
    /// The repository holds none of the formats that can be read.
    #[error(
        "{reference} has no {missing}, which a model or dictionary needs here; name a repository with safetensors weights"
    )]
    Contents {
        /// The repository.
        reference: Reference,
        /// The file.
        missing: String,
    },
    /// The connection broke off.
    #[error(
        "the download of {file} of {reference} stopped after {done} bytes: {reason}; run the same command again, it goes on from there"
    )]
    Interrupted {
        /// The repository.
        reference: Reference,
        /// The file.
        file: String,
        /// Bytes that are kept.
        done: u64,
        /// What happened.
        reason: String,
    },
    /// What came is not what the hub announced.
    #[error(
        "{file} of {reference} arrived damaged: {problem}; it was removed, run the same command again"
    )]
    Damaged {
        /// The repository.
        reference: Reference,
        /// The file.
        file: String,
        /// Expected and found.
        problem: String,
    },
    /// No room.
    #[error(
        "{file} of {reference} needs {needed} more bytes in {}, and the disk has not so many; make room, or name another folder in HF_HOME", cache.display()
    )]
    Full {
        /// The repository.
        reference: Reference,
        /// The file.
        file: String,
        /// Bytes that are missing.
        needed: u64,
        /// The cache.
        cache: PathBuf,
    },
    /// The cache cannot be read or written.
    #[error("{file} of {reference} cannot be kept in {}: {reason}; name a folder that can be written in HF_HOME", cache.display())]
    Cache {
        /// The repository.
        reference: Reference,
        /// The file.
        file: String,
        /// The cache.
        cache: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Another process is at it.
    #[error(
        "another process is fetching {file} of {reference}; run the same command again once it has ended"
    )]
    Busy {
        /// The repository.
        reference: Reference,
        /// The file.
        file: String,
    },
    /// The answer is not a hub's.
    #[error(
        "{endpoint} answers as no hub does, for {file} of {reference}: {reason}; check HF_ENDPOINT"
    )]
    Answer {
        /// Address of the hub.
        endpoint: String,
        /// The repository.
        reference: Reference,
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
}
