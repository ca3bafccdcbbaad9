//! What a server is started with.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use engine::{DeviceChoice, Limits, Precision, WeightChoice};

use crate::hosting::{address::PublicUrl, clients::ClientLimits};

/// What a server is started with.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Folder of the study.
    pub study: PathBuf,
    /// Where to listen; port 0 takes a free one. Default 127.0.0.1:7878.
    pub addr: SocketAddr,
    /// Where models and dictionaries are.
    pub device: DeviceChoice,
    /// Where the base and the chat model are instead.
    pub model_devices: [Option<DeviceChoice>; 2],
    /// Bytes of the host's memory to plan with; what is free by default.
    pub memory: Option<u64>,
    /// Number format of the models.
    pub precision: Precision,
    /// Which weights the CPU computes with; copies rounded to bf16 are kept in the study's folder, in `rounded-weights`.
    pub weights: WeightChoice,
    /// Serve without models even if the study names some.
    pub browse_only: bool,
    /// Bounds on requests.
    pub limits: Limits,
    /// The address by which readers know this server; without it links name the host that was asked for.
    pub public_url: Option<PublicUrl>,
    /// Bounds on what one client may ask of the models.
    pub clients: ClientLimits,
    /// File of the saved runs; by default `runs.duckdb` in the study's folder.
    pub runs: Option<PathBuf>,
    /// Most runs that are kept.
    pub max_runs: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            study: PathBuf::from("."),
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 7878)),
            device: DeviceChoice::default(),
            model_devices: [None; 2],
            memory: None,
            precision: Precision::default(),
            weights: WeightChoice::default(),
            browse_only: false,
            limits: Limits::default(),
            public_url: None,
            clients: ClientLimits::default(),
            runs: None,
            max_runs: 10_000,
        }
    }
}

impl Options {
    /// The defaults for a study.
    pub fn new(study: impl Into<PathBuf>) -> Self {
        Self {
            study: study.into(),
            ..Self::default()
        }
    }
}
