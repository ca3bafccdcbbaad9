//! What an engine is going to hold, told from headers alone, and the nearest that fits where it does not.

use crosscoder::{Header, Residence};
use gemma::{Checkpoint, Part, Place, Plan, WeightChoice, When};

use crate::{Error, Options, Precision, Result, check::Opened, devices::Devices};

/// Copies of a chunk of logits at the worst moment: of both models, as a tensor and as rows, and as probabilities in f64.
const LOGIT_COPIES: u64 = 6;
/// Bytes of an f32.
const WIDE: u64 = 4;
/// Prompts to which the longest one may be cut for want of memory.
const SHORTER: [usize; 3] = [2048, 1024, 512];

/// What the files say.
pub(crate) struct Sizes<'a> {
    checkpoints: &'a [Checkpoint; 2],
    dictionaries: Vec<(&'a str, Header)>,
    layer: usize,
    context: usize,
    new_tokens: usize,
    read_at_once: usize,
    beside: u64,
}

/// What a person can choose.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub models: [Place; 2],
    pub dictionaries: Place,
    pub precision: Precision,
    pub weights: WeightChoice,
    pub prompt_tokens: usize,
    /// Bytes of prompts that are kept.
    pub prompt_cache: u64,
}

impl<'a> Sizes<'a> {
    pub(crate) fn new(opened: &'a Opened, options: &'a Options, context: usize) -> Result<Self> {
        let header = |d: &'a crate::DictionaryOptions| -> Result<_> {
            Ok((d.slug.as_str(), crosscoder::open(&d.path)?))
        };
        Ok(Self {
            checkpoints: &opened.checkpoints,
            dictionaries: options
                .dictionaries
                .iter()
                .map(header)
                .collect::<Result<_>>()?,
            layer: options.layer,
            context,
            new_tokens: options.limits.new_tokens,
            read_at_once: options.limits.read_at_once,
            beside: options.beside,
        })
    }

    /// What the options choose.
    fn choice(&self, options: &Options, devices: &Devices) -> Choice {
        Choice {
            models: devices.models.each_ref().map(Place::of),
            dictionaries: Place::of(&devices.dictionaries),
            precision: options.precision,
            weights: options.weights,
            prompt_tokens: options.limits.prompt_tokens.min(self.context),
            prompt_cache: options.limits.prompt_cache,
        }
    }

    /// The plan of the options, whether it fits or not.
    pub(crate) fn plan(&self, options: &Options, devices: &Devices) -> Plan {
        let choice = self.choice(options, devices);
        self.plan_of(&choice, &|place| available(options, place))
    }

    /// The plan of a choice.
    pub(crate) fn plan_of(
        &self,
        choice: &Choice,
        available: &dyn Fn(Place) -> Option<u64>,
    ) -> Plan {
        Plan::new(self.parts(choice), available)
    }

    /// Refuses a plan that does not fit.
    ///
    /// # Errors
    /// [`Error::Memory`], with the nearest that does.
    pub(crate) fn check(&self, options: &Options, devices: &Devices) -> Result<()> {
        let plan = self.plan(options, devices);
        if plan.fits {
            return Ok(());
        }
        let choice = self.choice(options, devices);
        Err(Error::Memory {
            shortage: plan.shortage(),
            nearest: self.nearest(&choice, &|place| available(options, place)),
            plan: plan.to_string(),
        })
    }

    /// The options that fit and give up least.
    pub(crate) fn nearest(
        &self,
        choice: &Choice,
        available: &dyn Fn(Place) -> Option<u64>,
    ) -> String {
        let fits = |choice: &Choice| self.plan_of(choice, available).fits;
        let found = Self::others(choice).into_iter().find(|(_, c)| fits(c));
        found.map_or_else(|| "--browse-only".into(), |(flags, _)| flags)
    }

    /// Other choices, with the flags that make them, those that give up least first.
    fn others(choice: &Choice) -> Vec<(String, Choice)> {
        let mut wider = vec![(Vec::new(), choice.clone())];
        if choice.models.contains(&Place::Cpu) && choice.weights != WeightChoice::Bf16 {
            let mut rounded = choice.clone();
            rounded.weights = WeightChoice::Bf16;
            wider.push((vec!["--weights bf16".into()], rounded));
        }
        let gpu = choice.models.iter().any(|place| *place != Place::Cpu);
        if choice.models.iter().all(|place| *place != Place::Cpu) {
            let mut narrow = choice.clone();
            narrow.precision = Precision::Bf16;
            wider.push((vec!["--precision bf16".into()], narrow));
        }
        if choice.models[0] != Place::Cpu {
            let mut apart = choice.clone();
            apart.models[0] = Place::Cpu;
            // bf16 is for GPUs.
            let mut flags = vec!["--base-device cpu".to_owned()];
            if choice.precision == Precision::Bf16 {
                apart.precision = Precision::Auto;
                flags.push("--precision auto".into());
            }
            wider.push((flags, apart));
        }
        if gpu {
            let mut host = choice.clone();
            (host.models, host.dictionaries) = ([Place::Cpu; 2], Place::Cpu);
            host.precision = Precision::F32;
            wider.push((vec!["--device cpu".into(), "--precision f32".into()], host));
        }
        let shorter = SHORTER.into_iter().filter(|n| *n < choice.prompt_tokens);
        let lengths: Vec<usize> = [choice.prompt_tokens].into_iter().chain(shorter).collect();
        let mut kept = vec![choice.prompt_cache];
        if choice.prompt_cache > 0 {
            kept.push(0);
        }
        let mut all = Vec::new();
        for (flags, choice) in wider {
            for length in &lengths {
                for bytes in &kept {
                    let (mut flags, mut choice) = (flags.clone(), choice.clone());
                    if *bytes != choice.prompt_cache {
                        flags.push(format!("--prompt-cache {bytes}"));
                        choice.prompt_cache = *bytes;
                    }
                    if *length != choice.prompt_tokens {
                        flags.push(format!("--max-prompt-tokens {length}"));
                        choice.prompt_tokens = *length;
                    }
                    if !flags.is_empty() {
                        all.push((flags.join(" "), choice));
                    }
                }
            }
        }
        all
    }

    fn parts(&self, choice: &Choice) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut add = |what: String, place, bytes, when| {
            parts.push(Part {
                what,
                place,
                bytes,
                when,
            });
        };
        let [base, chat] = self.checkpoints;
        let number = |checkpoint: &Checkpoint, place| {
            let dtype = choice.precision.dtype(place, checkpoint.stored_dtype());
            dtype.size_in_bytes() as u64
        };
        // Weights on the CPU may rest in bf16 while everything else is f32.
        let weights = |checkpoint: &Checkpoint, place| {
            let dtype = choice.precision.dtype(place, checkpoint.stored_dtype());
            match (place, checkpoint.number_bytes(choice.weights)) {
                (Place::Cpu, 2) => (2, "bf16 in its files"),
                _ => (dtype.size_in_bytes() as u64, dtype.as_str()),
            }
        };
        let [in_base, in_chat] = choice.models;
        let (bytes, format) = weights(base, in_base);
        let [lower, upper] = gemma::weight_bytes(base.config(), self.layer, bytes);
        let what = format!("base model up to layer {}, {format}", self.layer);
        add(what, in_base, lower, When::Always);
        let what = format!("base model after it, {format}");
        add(what, in_base, upper, When::FirstUse);
        let (bytes, format) = weights(chat, in_chat);
        let [lower, upper] = gemma::weight_bytes(chat.config(), self.layer, bytes);
        let what = format!("chat model, {format}");
        add(what, in_chat, lower + upper, When::Always);

        let mut latents = 0;
        for (slug, header) in &self.dictionaries {
            latents = latents.max(header.dict_size as u64);
            let on_host = choice.dictionaries == Place::Cpu;
            let [host, device] = header.memory(on_host, Residence::Automatic);
            add(
                format!("dictionary {slug}, f32"),
                Place::Cpu,
                host,
                When::Always,
            );
            if !on_host {
                let what = format!("dictionary {slug} for encoding, f32");
                add(what, choice.dictionaries, device, When::Always);
            }
        }

        if self.beside > 0 {
            let what = "what pages show of latents, and the databases".to_owned();
            add(what, Place::Cpu, self.beside, When::FirstUse);
        }

        let tokens = choice.prompt_tokens;
        let kept = (tokens + self.new_tokens).min(self.context);
        for (checkpoint, place, name) in [(base, in_base, "base"), (chat, in_chat, "chat")] {
            let bytes = number(checkpoint, place);
            let cache = gemma::cache_bytes(checkpoint.config(), kept, bytes);
            let what =
                format!("cache of a {name} lane of {kept} tokens; each further lane as much");
            add(what, place, cache, When::Request);
            let bytes = gemma::cache_bytes(checkpoint.config(), tokens, bytes);
            let what = format!(
                "a prompt of {tokens} tokens read by {name}, once for all its lanes; each further question as much"
            );
            add(what, place, bytes, When::Request);
            if choice.prompt_cache > 0 {
                let what = format!("prompts kept as {name} read them");
                add(what, place, choice.prompt_cache / 2, When::FirstUse);
            }
        }
        let scratch = |checkpoint: &Checkpoint, place| {
            let at_once = self.read_at_once.min(tokens);
            let bytes = number(checkpoint, place);
            let config = checkpoint.config();
            let pass = gemma::scratch_bytes(config, at_once, tokens, bytes, place);
            let chunk = crate::next::at_once(config.vocab_size);
            match place {
                Place::Cpu => pass,
                Place::Cuda(_) => pass.max(gemma::logit_bytes(config, chunk.min(tokens), bytes)),
            }
        };
        // One after the other: a model's pass, the encoding, the logits.
        let codes = self.read_at_once.min(tokens) as u64 * latents * WIDE;
        let logits = LOGIT_COPIES
            * crate::next::CHUNK_NUMBERS.min(tokens * chat.config().vocab_size) as u64
            * WIDE;
        let mut places = vec![in_base, in_chat, choice.dictionaries, Place::Cpu];
        places.sort();
        places.dedup();
        for place in places {
            let here = |there: Place, bytes: u64| if there == place { bytes } else { 0 };
            let most = here(in_base, scratch(base, in_base))
                .max(here(in_chat, scratch(chat, in_chat)))
                .max(here(choice.dictionaries, codes))
                .max(here(Place::Cpu, codes.max(logits)));
            let what = format!("scratch for a prompt of {tokens} tokens");
            add(what, place, most, When::Request);
        }
        parts
    }
}

/// Bytes that a place has; the host's as the options have it, where they do.
fn available(options: &Options, place: Place) -> Option<u64> {
    match (place, options.memory) {
        (Place::Cpu, Some(bytes)) => Some(bytes),
        _ => gemma::available(place),
    }
}
