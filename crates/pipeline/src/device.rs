//! Where the models run.

use std::str::FromStr;

use candle_core::Device;

use crate::Result;

/// The device of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU if this program was built for one and finds one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU of this number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match (text, text.strip_prefix("cuda:")) {
            ("auto", _) => Ok(Self::Auto),
            ("cpu", _) => Ok(Self::Cpu),
            (_, Some(number)) => number
                .parse()
                .map(Self::Cuda)
                .map_err(|_| format!("{text:?} names no GPU; write for instance cuda:0")),
            _ => Err(format!("{text:?} is not auto, cpu or cuda:N")),
        }
    }
}

impl DeviceChoice {
    pub(crate) fn open(self) -> Result<Device> {
        Ok(match self {
            Self::Auto => Device::cuda_if_available(0)?,
            Self::Cpu => Device::Cpu,
            Self::Cuda(number) => Device::new_cuda(number)?,
        })
    }
}
