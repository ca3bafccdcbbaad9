//! A made-up study of as many latents as a real dictionary has, with statistics and examples, but no models.

use std::path::Path;

use api::{Betas, ClassCuts, ExampleGroup, LatentRow, LensToken, LogitLens, ModelName, TokenKind};
use diffing::LogHistogram;
use store::{
    ExampleRecord, GroupRecord, HistogramRecord, LensRecord, MatchRecord, Matched, NeighbourRecord,
    OtherMatches, Scaled, SequenceRecord, Writer,
};

/// The dictionary's slug.
pub(crate) const SLUG: &str = "synthetic";

/// Another one's, to be compared with it.
const OTHER: &str = "other";

/// Tokens that the statistics pretend to be of.
const TOKENS: u64 = 100_000_000;

/// Words that examples are made of.
const WORDS: [&str; 12] = [
    " how",
    " lock",
    " door",
    " river",
    " refuse",
    " poison",
    " answer",
    " sorry",
    " capital",
    " question",
    " model",
    " light",
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal: mean 0, deviation 1.
    fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// Writes the study, whose latents have one example each, and histogram, lenses and neighbours as real ones have.
pub(crate) fn write(folder: &Path, latents: u32) -> Result<(), String> {
    // The dictionary itself is not there: what the page shows is in the database.
    std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let manifest = format!(
        "name = \"Synthetic\"\nlayer = 13\n{}{}",
        entry(SLUG),
        entry(OTHER)
    );
    std::fs::write(folder.join("study.toml"), manifest).map_err(|e| e.to_string())?;
    let file = folder.join("study.duckdb");
    fill(&file, OTHER, latents, &[]).map_err(|e| e.to_string())?;
    fill(&file, SLUG, latents, &[matches(latents)]).map_err(|e| e.to_string())
}

fn entry(slug: &str) -> String {
    format!("\n[[dictionary]]\nslug = \"{slug}\"\npath = \"{slug}\"\nkind = \"batchtopk\"\n")
}

/// Made-up matches with the other dictionary.
fn matches(latents: u32) -> OtherMatches {
    let mut random = Random(11);
    let mut found = || {
        let id = (random.next() % u64::from(latents)) as u32;
        let cosine = random.unit();
        Some(Matched { id, cosine })
    };
    let records = (0..latents).map(|_| MatchRecord {
        both: found(),
        chat: found(),
    });
    OtherMatches {
        slug: OTHER.into(),
        sha256: String::new(),
        records: records.collect(),
    }
}

fn fill(file: &Path, slug: &str, latents: u32, others: &[OtherMatches]) -> store::Result<()> {
    let mut random = Random(slug.len() as u64);
    let rows: Vec<LatentRow> = (0..latents).map(|id| row(id, &mut random)).collect();
    let writer = Writer::replace(file, slug)?;
    writer.set_matches(others)?;
    writer.set_latents(&rows)?;
    writer.set_scaling(TOKENS / 2, &Scaled::All)?;
    writer.set_histograms(rows.iter().map(|row| HistogramRecord {
        latent: row.id,
        histogram: spread(row.max_activation.unwrap_or_default() as f32),
    }))?;
    let lenses = rows.iter().flat_map(|row| {
        [ModelName::Base, ModelName::Chat].map(|model| LensRecord {
            latent: row.id,
            model,
            lens: lens(row.id),
        })
    });
    writer.set_lenses(lenses)?;
    writer.set_neighbours(rows.iter().map(|row| {
        NeighbourRecord {
            latent: row.id,
            neighbours: (1..=10)
                .map(|i| ((row.id + 97 * i) % latents, 1.0 / f64::from(i)))
                .collect(),
        }
    }))?;
    let texts = WORDS.iter().enumerate();
    writer.set_tokens(texts.map(|(i, word)| (i as u32, (*word).to_owned())))?;
    let sequences: Vec<SequenceRecord> = (0..1000)
        .map(|sequence| SequenceRecord {
            sequence,
            source: format!("made up: {sequence}"),
            tokens: (0..16).map(|_| (random.next() % 12) as u32).collect(),
            kinds: vec![TokenKind::Content; 16],
        })
        .collect();
    let examples = rows.iter().map(|row| ExampleRecord {
        latent: row.id,
        group: 0,
        sequence: u64::from(row.id) % 1000,
        positions: vec![row.id % 16],
        values: vec![row.max_activation.unwrap_or_default() as f32],
    });
    let groups = rows.iter().map(|row| GroupRecord {
        latent: row.id,
        group: ExampleGroup {
            group: 0,
            from: 0.0,
            to: row.max_activation.unwrap_or_default(),
            examples: 1,
            sequences: 1,
        },
    });
    let examples: Vec<ExampleRecord> = examples.collect();
    let groups: Vec<GroupRecord> = groups.collect();
    writer.set_examples("made up", &sequences, examples, groups)?;
    writer.finish()
}

/// Counts of activations up to the largest.
fn spread(max: f32) -> LogHistogram {
    (1..=24).map(|i| max * i as f32 / 24.0).collect()
}

/// Ten tokens at either end.
fn lens(latent: u32) -> LogitLens {
    let token = |i: u32, sign: f64| LensToken {
        id: (latent + i) % WORDS.len() as u32,
        text: String::new(),
        value: sign / f64::from(i + 1),
    };
    LogitLens {
        top: (0..10).map(|i| token(i, 1.0)).collect(),
        bottom: (0..10).map(|i| token(i, -1.0)).collect(),
    }
}

/// A latent whose numbers lie about as those of the paper's dictionaries do.
fn row(id: u32, random: &mut Random) -> LatentRow {
    let kind = random.unit();
    let delta = match kind {
        x if x < 0.05 => 1.0 - 0.03 * random.bell().abs(),
        x if x < 0.07 => 0.04 * random.bell().abs(),
        x if x < 0.85 => 0.5 + 0.03 * random.bell(),
        _ => random.unit(),
    };
    let delta = delta.clamp(0.0, 1.0);
    let chat = 0.4 + random.unit();
    let base = chat
        * if delta > 0.5 {
            2.0 * (1.0 - delta)
        } else {
            1.0
        };
    let near = 1.0 - 2.0 * (delta - 0.5).max(0.0);
    let mut ratio = |spread: f64| Some((near + spread * random.bell()).clamp(-0.3, 2.4));
    let (nu_epsilon, nu_r) = (ratio(0.18), ratio(0.22));
    // About evenly over seven powers of ten.
    let most = TOKENS >> (2 + random.next() % 24);
    let active = random.next() % (most + 1);
    let class = diffing::class(Some(delta), &ClassCuts::default());
    let beta = |random: &mut Random| Some(random.unit());
    LatentRow {
        id,
        class,
        dead: Some(active == 0),
        label: (random.unit() < 0.02).then(|| format!("made-up concept {}", random.next() % 400)),
        verdict: diffing::verdict(class, nu_epsilon, nu_r),
        delta_norm: Some(delta),
        norm_base: base,
        norm_chat: chat,
        decoder_cosine: Some((1.0 - 0.2 * random.bell().abs()).max(-1.0)),
        nu_epsilon,
        nu_r,
        betas: Betas {
            beta_activation_base: beta(random),
            beta_activation_chat: beta(random),
            beta_activation_no_bias_base: beta(random),
            beta_activation_no_bias_chat: beta(random),
            beta_reconstruction_base: beta(random),
            beta_reconstruction_chat: beta(random),
            beta_error_base: beta(random),
            beta_error_chat: beta(random),
        },
        frequency: Some(active as f64 / TOKENS as f64),
        active_tokens: Some(active),
        tokens: Some(TOKENS),
        max_activation: Some(if active == 0 {
            0.0
        } else {
            4.0 + 3.0 * random.bell().abs()
        }),
        mean_activation: (active > 0).then(|| 1.0 + random.unit()),
        template_share: (active > 0).then(|| random.unit().powi(4)),
    }
}
