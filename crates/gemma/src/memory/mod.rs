//! What is going to take how much memory where, told before anything is loaded, and held against what there is.

mod machine;
mod model;
mod size;

use std::collections::BTreeMap;
use std::fmt;

use candle_core::{Device, DeviceLocation};
use serde::{Serialize, Serializer};

pub use machine::available;
pub(crate) use model::weight_counts;
pub use model::{cache_bytes, logit_bytes, scratch_bytes, weight_bytes};
pub use size::{Size, readable};

/// The memory of the host, or of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The host's.
    Cpu,
    /// A CUDA device's, by number.
    Cuda(usize),
}

impl Place {
    /// The memory of a device.
    pub fn of(device: &Device) -> Self {
        match device.location() {
            DeviceLocation::Cpu => Self::Cpu,
            DeviceLocation::Cuda { gpu_id } | DeviceLocation::Metal { gpu_id } => {
                Self::Cuda(gpu_id)
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// When something takes its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// From the beginning to the end.
    Always,
    /// From its first use to the end.
    FirstUse,
    /// While a request is served.
    Request,
}

/// Something that takes memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it is, for instance `chat model, f32`.
    pub what: String,
    /// Where it is.
    pub place: Place,
    /// Its size.
    pub bytes: u64,
    /// When it is there.
    pub when: When,
}

/// What a place has to hold, and what it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Room {
    /// The place.
    pub place: Place,
    /// Bytes of all parts there.
    pub needed: u64,
    /// Bytes that are free; `None` where the system does not tell.
    pub available: Option<u64>,
}

/// Everything that takes memory, and the room for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The parts.
    pub parts: Vec<Part>,
    /// The places that hold them.
    pub rooms: Vec<Room>,
    /// Whether every place has room.
    pub fits: bool,
}

impl Plan {
    /// Adds parts up; `available` tells what a place has.
    pub fn new(parts: Vec<Part>, available: &dyn Fn(Place) -> Option<u64>) -> Self {
        let mut needed = BTreeMap::<Place, u64>::new();
        for part in &parts {
            *needed.entry(part.place).or_default() += part.bytes;
        }
        let rooms: Vec<Room> = needed
            .into_iter()
            .map(|(place, needed)| Room {
                place,
                needed,
                available: available(place),
            })
            .collect();
        let fits = rooms.iter().all(Room::fits);
        Self { parts, rooms, fits }
    }

    /// What does not fit, as the beginning of a sentence; empty where everything does.
    pub fn shortage(&self) -> String {
        let short = self.rooms.iter().filter(|room| !room.fits());
        let short: Vec<String> = short.map(ToString::to_string).collect();
        short.join(", and ")
    }
}

impl Room {
    fn fits(&self) -> bool {
        self.available
            .is_none_or(|available| self.needed <= available)
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} needed on {}", readable(self.needed), self.place)?;
        match self.available {
            Some(available) => write!(f, ", {} available", readable(available)),
            None => write!(f, ", what is available is not known"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory:")?;
        for part in &self.parts {
            let when = match part.when {
                When::Always => "",
                When::FirstUse => ", from its first use",
                When::Request => ", while a request is served",
            };
            write!(
                f,
                "\n{:>10}  {:<7} {}{when}",
                readable(part.bytes),
                part.place.to_string(),
                part.what
            )?;
        }
        self.rooms
            .iter()
            .try_for_each(|room| write!(f, "\n  {room}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(what: &str, place: Place, bytes: u64, when: When) -> Part {
        Part {
            what: what.into(),
            place,
            bytes,
            when,
        }
    }

    #[test]
    fn a_plan_adds_up_by_place_and_tells_what_is_short() {
        let gpu = Place::Cuda(1);
        let parts = vec![
            part("base", Place::Cpu, 3_000_000_000, When::FirstUse),
            part("chat", gpu, 5_000_000_000, When::Always),
            part("scratch", Place::Cpu, 1_000_000_000, When::Request),
        ];
        let room = |host: u64| {
            move |place: Place| match place {
                Place::Cpu => Some(host),
                Place::Cuda(_) => Some(5_000_000_000),
            }
        };
        let plan = Plan::new(parts.clone(), &room(4_000_000_000));
        assert!(plan.fits && plan.shortage().is_empty());
        assert_eq!(plan.rooms[0].needed, 4_000_000_000);
        let shown = plan.to_string();
        for text in [
            "3.0 GB  cpu     base, from its first use",
            "5.0 GB  cuda:1  chat\n",
            "4.0 GB needed on cpu, 4.0 GB available",
        ] {
            assert!(shown.contains(text), "{shown}");
        }
        let plan = Plan::new(parts.clone(), &room(3_999_999_999));
        assert!(!plan.fits);
        assert_eq!(plan.shortage(), "4.0 GB needed on cpu, 4.0 GB available");
        let plan = Plan::new(parts, &|_| None);
        assert!(plan.fits && plan.to_string().contains("not known"));
        let json = serde_json::to_value(&plan).unwrap();
        assert_eq!(json["parts"][1]["place"], "cuda:1");
        assert_eq!(json["parts"][0]["when"], "first_use");
    }
}
