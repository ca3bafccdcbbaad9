//! What a step is going to hold in memory, told before it loads anything, and refused where it does not fit.

use candle_core::Device;
use crosscoder::{Header, Residence};
use gemma::{Checkpoint, Part, Place, Plan, WeightChoice, When};

use crate::study::Pair;
use crate::{Error, Progress, Result};

/// Bytes of an f32, in which everything offline is computed.
const WIDE: u64 = 4;
/// Tokens that run through a model together, unless a single sequence is longer.
const TOGETHER: usize = 2048;

/// What a step takes on one device.
pub(crate) struct Memory {
    place: Place,
    parts: Vec<Part>,
}

impl Memory {
    /// Nothing so far.
    pub(crate) fn on(device: &Device) -> Self {
        Self {
            place: Place::of(device),
            parts: Vec::new(),
        }
    }

    fn add(&mut self, what: String, place: Place, bytes: u64, when: When) {
        self.parts.push(Part {
            what,
            place,
            bytes,
            when,
        });
    }

    /// Bytes of a number of a model's matrices: on the CPU those of a large model in bf16 stay in their files.
    fn number_bytes(&self, checkpoint: &Checkpoint) -> u64 {
        match self.place {
            Place::Cpu => checkpoint.number_bytes(WeightChoice::AsIs),
            Place::Cuda(_) => WIDE,
        }
    }

    /// Both models up to the hook point, with what comes and goes while sequences of so many tokens run through them.
    pub(crate) fn lower_halves(&mut self, pair: &Pair, context: usize) {
        let mut scratch = 0;
        for (name, checkpoint) in both(pair) {
            let (config, bytes) = (checkpoint.config(), self.number_bytes(checkpoint));
            let [lower, _] = gemma::weight_bytes(config, pair.layer, bytes);
            let what = format!("{name} model up to layer {}, {}", pair.layer, format(bytes));
            self.add(what, self.place, lower, When::Always);
            let of =
                |at_once, tokens| gemma::scratch_bytes(config, at_once, tokens, WIDE, self.place);
            // Shorter ones run together.
            let count = TOGETHER.div_ceil(context.max(1)) as u64;
            scratch = scratch
                .max(of(context, context))
                .max(of(1, 1) * count * context as u64);
        }
        let what = format!("scratch for sequences of {context} tokens");
        self.add(what, self.place, scratch, When::Always);
    }

    /// The rest of both models.
    pub(crate) fn upper_halves(&mut self, pair: &Pair) {
        for (name, checkpoint) in both(pair) {
            let bytes = self.number_bytes(checkpoint);
            let [_, upper] = gemma::weight_bytes(checkpoint.config(), pair.layer, bytes);
            let what = format!("{name} model after it, {}", format(bytes));
            self.add(what, self.place, upper, When::FirstUse);
        }
    }

    /// A dictionary.
    pub(crate) fn dictionary(&mut self, slug: &str, header: &Header) {
        let on_host = self.place == Place::Cpu;
        let [host, device] = header.memory(on_host, Residence::Memory);
        self.add(
            format!("dictionary {slug}, f32"),
            Place::Cpu,
            host,
            When::Always,
        );
        if !on_host {
            let what = format!("dictionary {slug} for encoding, f32");
            self.add(what, self.place, device, When::Always);
        }
    }

    /// Activations of so many tokens of both models, on the host.
    pub(crate) fn activations(&mut self, tokens: u64, width: usize) {
        let bytes = 2 * tokens * width as u64 * WIDE;
        let what = format!("activations of {tokens} tokens, f32");
        self.add(what, Place::Cpu, bytes, When::Always);
    }

    /// Says what is going to be held; `limit` stands for what is free on the host.
    ///
    /// # Errors
    /// When it does not fit, with the nearest that does.
    pub(crate) fn announce(self, limit: Option<u64>, progress: &dyn Progress) -> Result<()> {
        let available = |place: Place| match (place, limit) {
            (Place::Cpu, Some(bytes)) => Some(bytes),
            _ => gemma::available(place),
        };
        let plan = Plan::new(self.parts.clone(), &available);
        if plan.fits {
            progress.say(&plan.to_string());
            return Ok(());
        }
        let on_host = self.parts.into_iter().map(|part| Part {
            place: Place::Cpu,
            ..part
        });
        let host = Plan::new(on_host.collect(), &available);
        let nearest = if self.place != Place::Cpu && host.fits {
            "give --device cpu"
        } else {
            "use a machine with more memory"
        };
        Err(Error::Mismatch(format!(
            "this does not fit into memory: {}; {nearest}, or --memory SIZE to plan for more than is free now\n{plan}",
            plan.shortage()
        )))
    }
}

fn both(pair: &Pair) -> [(&'static str, &Checkpoint); 2] {
    [("base", &pair.base), ("chat", &pair.chat)]
}

fn format(number_bytes: u64) -> &'static str {
    if number_bytes == WIDE {
        "f32"
    } else {
        "bf16 in its files"
    }
}
