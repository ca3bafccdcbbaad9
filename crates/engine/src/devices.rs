//! The devices of an engine, each opened once: the tensor library takes one that is opened twice for two.

use api::ModelName;
use candle_core::Device;
use gemma::{DeviceChoice, Place};

use crate::{Options, Result};

/// Where everything is.
pub(crate) struct Devices {
    pub models: [Device; 2],
    pub dictionaries: Device,
}

impl Devices {
    /// Opens the devices that the options name.
    pub(crate) fn open(options: &Options) -> Result<Self> {
        let mut opened: Vec<(DeviceChoice, Device)> = Vec::new();
        let mut open = |choice: DeviceChoice| -> Result<Device> {
            if let Some((_, device)) = opened.iter().find(|(known, _)| *known == choice) {
                return Ok(device.clone());
            }
            let device = choice.open()?;
            // The same device under another name.
            let same = |known: &&(_, Device)| Place::of(&known.1) == Place::of(&device);
            let device = opened.iter().find(same).map_or(device, |k| k.1.clone());
            opened.push((choice, device.clone()));
            Ok(device)
        };
        Ok(Self {
            models: [
                open(options.device_of(ModelName::Base))?,
                open(options.device_of(ModelName::Chat))?,
            ],
            dictionaries: open(options.device)?,
        })
    }
}
