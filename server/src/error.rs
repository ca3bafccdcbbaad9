//! Why a server cannot start or a single answer cannot be given; sentences for the command line.

use std::{io, net::SocketAddr};

/// Result of starting a server.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The study's manifest or database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A model, a dictionary or the device.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The parts of the study do not fit each other.
    #[error("{0}")]
    Study(String),
    /// The address is taken.
    #[error(
        "cannot listen on {addr}: the port is in use by another program; end that, or choose another port with --addr (port 0 takes a free one)"
    )]
    PortInUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The address cannot be used.
    #[error("cannot listen on {addr}: {source}; choose another address with --addr")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The server failed while running.
    #[error("the server stopped: {0}")]
    Io(#[from] io::Error),
    /// The study has no models to run a prompt with.
    #[error("{0}")]
    NoModels(String),
}
