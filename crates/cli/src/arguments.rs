//! The command line, as clap reads it; its doc comments are the manual.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use server::{PublicUrl, Size, WeightChoice};

use crate::commands::train::Train;

/// See what fine-tuning changed inside a language model: crosscoders of a base model and its chat-tuned version.
#[derive(Debug, Parser)]
#[command(name = "stereoscope", version, propagate_version = true)]
pub(crate) struct Arguments {
    /// Take models and dictionaries of the hub from its cache alone, as HF_HUB_OFFLINE=1 does
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Open the demo study that ships with the program
    Demo(Demo),
    /// Open a study in the browser
    Serve(Serve),
    /// Start a study from two checkpoints, by reference
    Init(Init),
    /// Run both models over text and keep their activations
    Collect(Collect),
    /// Train a crosscoder on the collected activations
    Train(Box<Train>),
    /// Compute everything the explorer shows about a dictionary's latents
    Analyse(Analyse),
    /// Put together what several workers collected or analysed
    Merge(Merge),
    /// Run one prompt through both models and a dictionary; prints JSON
    Activations(Activations),
    /// The demo pair: a world whose truth is known
    #[command(subcommand)]
    Organism(Organism),
}

#[derive(Debug, Args)]
pub(crate) struct Limits {
    /// Where to listen; port 0 takes a free one
    #[arg(long, env = "STEREOSCOPE_ADDR", default_value = "127.0.0.1:7878")]
    pub(crate) addr: SocketAddr,
    /// Where the models run: auto, cpu or cuda:N
    #[arg(long, env = "STEREOSCOPE_DEVICE", default_value = "auto")]
    pub(crate) device: String,
    /// Which weights the CPU computes with: as-is, the stored ones; bf16, those rounded once to bf16, into rounded-weights in the study's
    /// folder (which may be deleted); auto, the stored ones, but rounded for a model of 2^30 weights or more that is not in bf16. Weights in
    /// bf16 of a large model stay in their files; arithmetic is in f32
    #[arg(
        long,
        env = "STEREOSCOPE_WEIGHTS",
        value_name = "CHOICE",
        default_value = "auto"
    )]
    pub(crate) weights: WeightChoice,
    /// Where the base model runs, if elsewhere
    #[arg(long, value_name = "DEVICE")]
    pub(crate) base_device: Option<String>,
    /// Where the chat model runs, if elsewhere
    #[arg(long, value_name = "DEVICE")]
    pub(crate) chat_device: Option<String>,
    /// Number format of the models: auto (bf16 on a GPU for checkpoints that are stored so, else f32), f32 or bf16
    #[arg(long, default_value = "auto")]
    pub(crate) precision: String,
    #[command(flatten)]
    pub(crate) planning: Planning,
    /// Serve without models: everything but prompts
    #[arg(long)]
    pub(crate) browse_only: bool,
    /// Requests that may wait for the models
    #[arg(long, default_value_t = 32)]
    pub(crate) queue: usize,
    /// Generations that take turns at the models, and so many questions about prompts; others wait in line
    #[arg(long, default_value_t = 4)]
    pub(crate) generations: usize,
    /// Memory for prompts read of late, which are quick to ask for again, for instance 2GB; 0 keeps none
    #[arg(long, value_name = "SIZE", default_value = "512MB")]
    pub(crate) prompt_cache: Size,
    /// Longest prompt, in tokens (no more than the models' own limit)
    #[arg(long, default_value_t = 4096)]
    pub(crate) max_prompt_tokens: usize,
    /// Address by which readers know this server, with its path if a reverse proxy gives it one: https://example.org/stereoscope
    #[arg(long, env = "STEREOSCOPE_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<PublicUrl>,
    /// Requests a minute that one client may put to the models; as many as it likes by default
    #[arg(long, value_name = "N")]
    pub(crate) client_per_minute: Option<NonZeroU32>,
    /// Requests to the models that one client may have running; as many as it likes by default
    #[arg(long, value_name = "N")]
    pub(crate) client_at_once: Option<NonZeroU32>,
    /// Tell clients apart by the last entry of X-Forwarded-For, which the reverse proxy in front has to write
    #[arg(long)]
    pub(crate) behind_proxy: bool,
    /// File of the saved runs, by default runs.duckdb in the study's folder
    #[arg(long, value_name = "FILE")]
    pub(crate) runs: Option<PathBuf>,
    /// Most runs that are kept
    #[arg(long, default_value_t = 10_000)]
    pub(crate) max_runs: u64,
}

/// What is held in memory.
#[derive(Debug, Args)]
pub(crate) struct Planning {
    /// Memory to plan with, for instance 16GB; what is free by default
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<Size>,
    /// Print what would be held in memory, and stop; status 1 if it does not fit
    #[arg(long)]
    pub(crate) plan: bool,
    /// Print the plan as JSON
    #[arg(long, requires = "plan")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Another copy of the demo study
    #[arg(long)]
    pub(crate) study: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) limits: Limits,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Folder of the study
    pub(crate) study: PathBuf,
    #[command(flatten)]
    pub(crate) limits: Limits,
}

/// How progress and results are printed.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Printing {
    /// Progress and result as JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Folder of the new study
    pub(crate) study: PathBuf,
    /// Folder of the base model, or hub:ID[@REVISION]
    #[arg(long)]
    pub(crate) base: String,
    /// Folder of the chat-tuned model, or hub:ID[@REVISION]
    #[arg(long)]
    pub(crate) chat: String,
    /// Hook point: the output of this block, counted from 0
    #[arg(long)]
    pub(crate) layer: usize,
    /// A trained dictionary, as SLUG=FOLDER or SLUG=hub:ID[@REVISION]; may be repeated
    #[arg(long = "dictionary", value_name = "SLUG=FOLDER")]
    pub(crate) dictionaries: Vec<String>,
    /// Name shown in the explorer; the folder's name otherwise
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Overwrite an existing study.toml
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) printing: Printing,
}

#[derive(Debug, Args)]
pub(crate) struct Collect {
    /// Folder of the study
    pub(crate) study: PathBuf,
    /// JSON lines ({"text": …} or {"messages": […]}), Parquet (columns text, messages or conversation) or plain text; FILE#FIELD
    /// names another field or column; may be repeated
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub(crate) corpus: Vec<PathBuf>,
    /// How --tokens is divided among the corpora, for instance 1,1; without it they are read one after the other
    #[arg(long, value_delimiter = ',', value_name = "A,B,…")]
    pub(crate) shares: Vec<u32>,
    /// Upper bound on tokens
    #[arg(long)]
    pub(crate) tokens: u64,
    /// Longest sequence; the models' own limit if smaller
    #[arg(long, default_value_t = 1024)]
    pub(crate) context: usize,
    /// Leave out this many tokens at the beginning of every sequence, which the models read all the same: a constant prefix of the
    /// chat template. 0 keeps BOS
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) skip_first: usize,
    /// Make this share of the shards, for instance 0/4, and leave the rest to other runs and `merge`; by default that of a Slurm
    /// array or a Kubernetes Indexed Job (with STEREOSCOPE_SHARDS set to its completions), else everything
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<pipeline::ShardOf>,
    /// Tokens after which a shard is closed; as many as fit 256 MiB by default
    #[arg(long)]
    pub(crate) shard_tokens: Option<u64>,
    /// Number format of the shards
    #[arg(long, value_enum, default_value_t = Format::F32)]
    pub(crate) format: Format,
    /// Where the models run: auto, cpu or cuda:N
    #[arg(long, env = "STEREOSCOPE_DEVICE", default_value = "auto")]
    pub(crate) device: String,
    /// Memory to plan with, for instance 16GB; what is free by default
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<Size>,
    /// Throw away activations that were collected with other options
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) printing: Printing,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    F32,
    Bf16,
    F16,
}

#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// Folder of the study
    pub(crate) study: PathBuf,
    /// Where the models run, should an analysis need them: auto, cpu or cuda:N
    #[arg(long, env = "STEREOSCOPE_DEVICE", default_value = "auto")]
    pub(crate) device: String,
    #[command(flatten)]
    pub(crate) printing: Printing,
}

#[derive(Debug, Args)]
pub(crate) struct Analyse {
    /// Folder of the study
    pub(crate) study: PathBuf,
    /// Name of the dictionary
    #[arg(long)]
    pub(crate) dictionary: String,
    /// Steps to run, all by default: neighbours, matches, logit-lens, scaling, baselines, statistics, examples, correlated, verification, joint, effects; what others wrote stays
    #[arg(long, value_delimiter = ',')]
    pub(crate) steps: Vec<pipeline::Step>,
    /// Do this share of activations and dialogues, for instance 0/4, and leave the rest to other runs and `merge`; by default that of a
    /// Slurm array or a Kubernetes Indexed Job (with STEREOSCOPE_SHARDS set to its completions), else everything
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<pipeline::ShardOf>,
    /// In Latent Scaling, take activations below this share of a latent's maximum for 0; needs statistics
    #[arg(long, value_name = "SHARE")]
    pub(crate) jump_threshold: Option<f32>,
    /// Latents that Latent Scaling is computed for: all, compared (the chat-only ones and as many shared ones), or ids such as 12,345;
    /// what an earlier run found out about others stays
    #[arg(long, value_name = "WHICH", default_value = "all")]
    pub(crate) latents: pipeline::ScaledLatents,
    /// In the verification of Latent Scaling, count activations below 0.05 of a latent's maximum apart
    #[arg(long)]
    pub(crate) noise_bucket: bool,
    /// Examples kept per latent and quantile group
    #[arg(long, default_value_t = 20)]
    pub(crate) examples: usize,
    /// Activations held to find latents that fire together, about 30 bytes each; where there are more, another pass compares the pairs
    /// that these name
    #[arg(long, value_name = "N", default_value_t = 1 << 24)]
    pub(crate) correlated_sample: usize,
    /// Seconds between two checkpoints of a pass, from which the same command goes on after a kill; 0: as often as possible
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) checkpoint_seconds: u64,
    /// Conversations of which the causal effects are measured, as JSON lines; by default collected ones, held-out ones first
    #[arg(long, value_name = "FILE")]
    pub(crate) dialogues: Option<PathBuf>,
    /// Most dialogues of the causal effects
    #[arg(long, default_value_t = 512)]
    pub(crate) most_dialogues: usize,
    /// Causal effects of sets from the N latents of highest Δ_norm, not from the chat-only ones
    #[arg(long, value_name = "N")]
    pub(crate) effective: Option<usize>,
    /// Random sets of each kind, for comparison in the causal effects
    #[arg(long, default_value_t = 5)]
    pub(crate) effect_seeds: u64,
    /// Also add latents with the chat decoder alone in the causal effects, and take sets by thresholds
    #[arg(long)]
    pub(crate) additive: bool,
    /// Where the models run: auto, cpu or cuda:N
    #[arg(long, env = "STEREOSCOPE_DEVICE", default_value = "auto")]
    pub(crate) device: String,
    /// Memory to plan with, for instance 16GB; what is free by default
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<Size>,
    #[command(flatten)]
    pub(crate) printing: Printing,
}

#[derive(Debug, Args)]
pub(crate) struct Activations {
    /// Folder of the study
    pub(crate) study: PathBuf,
    /// Name of the dictionary
    #[arg(long)]
    pub(crate) dictionary: String,
    /// Raw text; special tokens are parsed
    #[arg(
        long,
        conflicts_with = "messages",
        required_unless_present = "messages"
    )]
    pub(crate) text: Option<String>,
    /// JSON file with a conversation: [{"role": "user", "content": …}, …]
    #[arg(long)]
    pub(crate) messages: Option<PathBuf>,
    /// Strongest latents to name at each token
    #[arg(long, default_value_t = 8)]
    pub(crate) top: usize,
    /// Latents whose values at every token are wanted, for instance 3,17, or all
    #[arg(long)]
    pub(crate) latents: Option<String>,
    /// Leave out the base model's predictions and their divergence, which spares the upper half of the base model
    #[arg(long)]
    pub(crate) no_kl: bool,
    /// Where the models run: auto, cpu or cuda:N
    #[arg(long, env = "STEREOSCOPE_DEVICE", default_value = "auto")]
    pub(crate) device: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Organism {
    /// Write the corpus, train the pair and its dictionary, analyse and score them
    Build(Build),
    /// Score a built study against the world's own truth
    Report(Report),
}

#[derive(Debug, Args)]
pub(crate) struct Build {
    /// Folder of the new study
    pub(crate) out: PathBuf,
    /// nano: minutes, for tests; demo: the study that ships with the program
    #[arg(long, value_enum)]
    pub(crate) preset: Preset,
    /// Seed of everything random
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) printing: Printing,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Preset {
    Nano,
    Demo,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Folder of the study
    pub(crate) study: PathBuf,
    #[command(flatten)]
    pub(crate) printing: Printing,
}
