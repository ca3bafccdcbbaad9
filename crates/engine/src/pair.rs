//! Both models, the tokenizer and the dictionaries, loaded; owned by the worker, read by everyone.

use std::{ops::Range, sync::Arc};

use api::ModelName;
use candle_core::{DType, Tensor};
use crosscoder::{Crosscoder, Residence};
use gemma::{Model, Tokenizer};

use crate::{
    Dictionary, Error, Limits, Options, Result, check,
    devices::Devices,
    kept::{Found, Kept},
    prompt,
    reading::{LowerWork, Read, Reading},
    rounding,
    turns::Turns,
};

/// Everything that prompts need.
pub(crate) struct Pair {
    pub models: [Model; 2],
    pub tokenizer: Tokenizer,
    pub dictionaries: Vec<Dictionary>,
    /// Output of this 0-based block is where the models are compared and edited.
    pub layer: usize,
    /// Longest sequence that both models take.
    pub context: usize,
    pub limits: Limits,
    /// Ids that end a lane of each model.
    stops: [Vec<u32>; 2],
    /// Prompts read of late.
    pub kept: Kept,
}

/// Most interventions of a lane.
const MAX_INTERVENTIONS: usize = 64;

impl Pair {
    /// Loads weights and dictionaries; `progress` hears the share read, 0 to 1.
    pub(crate) fn load(options: &Options, progress: &mut dyn FnMut(f32)) -> Result<Self> {
        let opened = check::open(options)?;
        let context = check::context(&opened);
        let devices = Devices::open(options)?;
        let [base_format, chat_format] = opened.formats(options, &devices);
        let [on_base, on_chat] = &devices.models;
        let [base, chat] = &opened.checkpoints;
        // Numbers read decide the shares: the parameters of a model's loaded part, 4·D·F of a dictionary's encoders and decoders.
        let [lower, _] = gemma::weight_bytes(base.config(), options.layer, 1);
        let mut sizes = vec![lower as f32, chat.parameters() as f32];
        for d in &options.dictionaries {
            let header = crosscoder::open(&d.path)?;
            sizes.push(4.0 * header.activation_dim as f32 * header.dict_size as f32);
        }
        let total = sizes.iter().sum::<f32>().max(1.0);
        let mut done = 0.0;
        let mut part = |at: usize, done: f32, fraction: f32| {
            progress((done + sizes[at] * fraction) / total);
        };
        let models = [
            rounding::load(
                base,
                options,
                on_base,
                base_format,
                Some(options.layer),
                &mut |f| {
                    part(0, 0.0, f);
                },
            )?,
            rounding::load(chat, options, on_chat, chat_format, None, &mut |f| {
                part(1, sizes[0], f);
            })?,
        ];
        done += sizes[0] + sizes[1];
        let mut dictionaries = Vec::new();
        for (n, d) in options.dictionaries.iter().enumerate() {
            let crosscoder =
                Crosscoder::load_to(&d.path, &devices.dictionaries, Residence::Automatic)?;
            dictionaries.push(Dictionary {
                slug: d.slug.clone(),
                crosscoder,
                max_activations: d.max_activations.clone(),
            });
            part(n + 2, done, 1.0);
            done += sizes[n + 2];
        }
        let stops = opened.checkpoints.each_ref().map(|checkpoint| {
            let mut ids = checkpoint.stop_ids();
            ids.extend(opened.tokenizer.end_of_turn());
            ids
        });
        Ok(Self {
            models,
            tokenizer: opened.tokenizer,
            dictionaries,
            layer: options.layer,
            context,
            limits: options.limits,
            stops,
            kept: Kept::new(options.limits.prompt_cache),
        })
    }

    /// The model of that name.
    pub(crate) fn model(&self, name: ModelName) -> &Model {
        &self.models[name.index()]
    }

    /// The model of that name, after reading what of it is not in memory yet: the base model's upper half, at its first use.
    ///
    /// # Errors
    /// When that fails; the next request tries again.
    pub(crate) fn whole(&self, name: ModelName) -> Result<&Model> {
        let model = self.model(name);
        if !model.is_whole() {
            tracing::info!(
                ?name,
                "a request needs the model's upper half, which is being read"
            );
            model.complete()?;
            tracing::info!(?name, "the model's upper half is read");
        }
        Ok(model)
    }

    /// Which halves of which model are in memory: for base and chat, the lower and the upper one.
    pub(crate) fn resident(&self) -> [[bool; 2]; 2] {
        self.models.each_ref().map(|model| [true, model.is_whole()])
    }

    /// Whether this token ends a lane of the model.
    pub(crate) fn stops(&self, model: ModelName, id: u32) -> bool {
        self.stops[model.index()].contains(&id)
    }

    /// Vocabulary size, the same for both models.
    pub(crate) fn vocab_size(&self) -> usize {
        self.models[0].config().vocab_size
    }

    /// The dictionary of that name.
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`].
    pub(crate) fn dictionary(&self, slug: &str) -> Result<&Dictionary> {
        self.dictionaries
            .iter()
            .find(|d| d.slug == slug)
            .ok_or_else(|| unknown_dictionary(slug, self.dictionaries.iter().map(|d| &d.slug)))
    }

    /// Token ids of a prompt, within the vocabulary and the limits.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(crate) fn encode(&self, prompt: &api::Prompt) -> Result<Vec<u32>> {
        prompt::encode(
            prompt,
            &self.tokenizer,
            self.vocab_size(),
            self.context,
            &self.limits,
        )
    }

    /// Checks the number of lanes.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(crate) fn check_lanes(&self, lanes: &[api::Lane]) -> Result<()> {
        let most = self.limits.lanes;
        if lanes.is_empty() || lanes.len() > most {
            return Err(Error::invalid(format!(
                "the request has {} lanes; expected 1 to {most}",
                lanes.len()
            )));
        }
        let long = (0..)
            .zip(lanes)
            .find(|(_, lane)| lane.interventions.len() > MAX_INTERVENTIONS);
        if let Some((number, lane)) = long {
            return Err(Error::invalid(format!(
                "lane {number} has {} interventions; expected at most {MAX_INTERVENTIONS}: one may name many latents",
                lane.interventions.len()
            )));
        }
        Ok(())
    }

    /// A model's reading of a prompt that is kept, or what makes it, beginning with what is kept.
    pub(crate) fn begin(&self, model: ModelName, ids: &[u32]) -> Result<Read<Reading, LowerWork>> {
        let found = self.kept.find(model, ids, self.limits.read_at_once);
        let begun = match &found {
            Found::Whole(reading) => return Ok(Read::Done(Arc::clone(reading))),
            Found::Beginning(reading, shared) => Some((reading, *shared)),
            Found::Nothing => None,
        };
        LowerWork::new(self, model, ids, begun).map(Read::Under)
    }

    /// A model's reading of a prompt, made now unless it is kept.
    pub(crate) fn read(
        &self,
        model: ModelName,
        ids: &[u32],
        turns: &Turns<'_>,
    ) -> Result<Arc<Reading>> {
        match self.begin(model, ids)? {
            Read::Done(reading) => Ok(reading),
            Read::Under(work) => work.end(self, turns),
        }
    }

    /// The blocks of a model's lower half.
    pub(crate) fn lower_blocks(&self) -> Range<usize> {
        0..self.layer + 1
    }

    /// The blocks of a model's upper half.
    pub(crate) fn upper_blocks(&self, model: ModelName) -> Range<usize> {
        self.layer + 1..self.model(model).config().num_layers
    }
}

/// Something of a model and of the other one, base's first.
pub(crate) fn in_order<T>(model: ModelName, own: T, other: T) -> [T; 2] {
    match model {
        ModelName::Base => [own, other],
        ModelName::Chat => [other, own],
    }
}

/// The pair [N, 2, D] in f32 that dictionaries encode, from both residuals [N, D], on the chat model's device.
pub(crate) fn paired(base: &Tensor, chat: &Tensor) -> Result<Tensor> {
    let base = base.to_dtype(DType::F32)?.to_device(chat.device())?;
    let chat = chat.to_dtype(DType::F32)?;
    Ok(Tensor::stack(&[base, chat], 1)?)
}

/// The error for a dictionary that is not there.
pub(crate) fn unknown_dictionary<'a>(slug: &str, known: impl Iterator<Item = &'a String>) -> Error {
    let known: Vec<_> = known.map(String::as_str).collect();
    Error::UnknownDictionary {
        slug: slug.into(),
        known: if known.is_empty() {
            "none".into()
        } else {
            known.join(", ")
        },
    }
}
