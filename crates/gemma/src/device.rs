//! Where the models run.

use std::str::FromStr;

use candle_core::Device;

use crate::{Error, Result};

/// A device as a person names it: `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device where the program was built for CUDA and finds one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|n| n.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("{text:?} is not a device; use auto, cpu or cuda:N")),
        }
    }
}

impl DeviceChoice {
    /// The device. One that is opened twice counts as two, whose tensors do not mix.
    ///
    /// # Errors
    /// [`Error::Device`] when the device asked for cannot be opened.
    pub fn open(self) -> Result<Device> {
        // A stream of its own: what several threads launch then runs in the order in which they launched it. By default each thread
        // has its own stream, and a tensor that one thread hands to another may be read before it is written.
        let cuda = |number: usize| {
            Device::new_cuda_with_stream(number).map_err(|source| Error::Device { number, source })
        };
        match self {
            Self::Auto if cfg!(feature = "cuda") => Ok(cuda(0).unwrap_or_else(|error| {
                tracing::warn!("{error}; the CPU is used");
                Device::Cpu
            })),
            Self::Auto | Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(number) => cuda(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_documented() {
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("cuda", DeviceChoice::Cuda(0)),
            ("cuda:3", DeviceChoice::Cuda(3)),
        ] {
            assert_eq!(text.parse(), Ok(choice));
        }
        for bad in ["", "gpu", "cuda:", "cuda:x", "cuda:-1"] {
            assert!(bad.parse::<DeviceChoice>().is_err(), "{bad}");
        }
    }
}
