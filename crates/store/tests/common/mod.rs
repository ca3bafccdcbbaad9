//! A small study database with every kind of row.

use api::{
    Betas, Class, ClassCuts, ConceptScore, ExampleGroup, LatentRow, LensToken, LogitLens,
    ModelName, TokenKind, TrainingSummary,
};
use diffing::{LogHistogram, Partner, TemplateLatent, TemplateSums};
use store::{
    ExampleRecord, GroupRecord, HistogramRecord, LensRecord, NeighbourRecord, PartRecord,
    SequenceRecord, ShareRecord, TwinRecord, Writer,
};

/// SplitMix64, so that the tests need no seedable generator.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A coarse number, so that ties occur, or nothing.
    fn maybe(&mut self) -> Option<f64> {
        (self.unit() < 0.8).then(|| (self.unit() * 10.0).floor() / 8.0)
    }
}

pub(crate) fn rows(count: u32, seed: u64) -> Vec<LatentRow> {
    let mut random = Random(seed);
    let cuts = ClassCuts::default();
    (0..count)
        .map(|id| {
            let delta_norm = random.maybe().map(|x| x.min(1.0));
            let (nu_epsilon, nu_r) = (random.maybe(), random.maybe());
            let class = diffing::class(delta_norm, &cuts);
            let active = random.next() % 4;
            LatentRow {
                id,
                class,
                dead: Some(active == 0),
                label: (random.unit() < 0.3).then(|| format!("Label {}", random.next() % 5)),
                verdict: diffing::verdict(class, nu_epsilon, nu_r),
                delta_norm,
                norm_base: random.unit(),
                norm_chat: random.unit(),
                decoder_cosine: random.maybe(),
                nu_epsilon,
                nu_r,
                betas: Betas {
                    beta_activation_base: random.maybe(),
                    beta_activation_chat: random.maybe(),
                    beta_activation_no_bias_base: random.maybe(),
                    beta_activation_no_bias_chat: random.maybe(),
                    beta_reconstruction_base: random.maybe(),
                    beta_reconstruction_chat: random.maybe(),
                    beta_error_base: random.maybe(),
                    beta_error_chat: random.maybe(),
                },
                frequency: Some(active as f64 / 1000.0),
                active_tokens: Some(active),
                tokens: Some(1000),
                max_activation: Some(active as f64 * 1.5),
                mean_activation: random.maybe(),
                template_share: random.maybe(),
            }
        })
        .collect()
}

pub(crate) fn concept(latent: u32) -> ConceptScore {
    ConceptScore {
        concept: "harm".into(),
        against: "benign".into(),
        latent,
        class: Class::Other,
        delta_norm: 0.92,
        auroc: 0.97,
        positives: 60,
        negatives: 59,
    }
}

pub(crate) fn training() -> TrainingSummary {
    TrainingSummary {
        fve: Some([0.95, 0.94]),
        l0: Some(20.5),
        dead_share: Some(0.01),
        tokens: Some(1_000_000),
        steps: Some(977),
        settings: vec![("k".into(), "20".into())],
    }
}

/// Token texts: 2 is BOS, the others words with a space in front.
pub(crate) fn texts() -> Vec<(u32, String)> {
    vec![
        (2, "<bos>".into()),
        (7, " Bomb".into()),
        (8, " flower".into()),
        (9, "\n".into()),
    ]
}

/// Examples of latent 1: `count` in group 4 and `count` in group 2, strongest first.
pub(crate) fn examples(count: u64) -> (Vec<SequenceRecord>, Vec<ExampleRecord>, Vec<GroupRecord>) {
    let sequences = (0..2 * count)
        .map(|sequence| SequenceRecord {
            sequence,
            source: format!("web: {sequence}"),
            tokens: vec![2, 7, 8, 9],
            kinds: vec![
                TokenKind::Bos,
                TokenKind::Content,
                TokenKind::Content,
                TokenKind::Template,
            ],
        })
        .collect();
    let examples = (0..2 * count)
        .map(|sequence| {
            let strong = sequence < count;
            let max = (2 * count - sequence) as f32;
            ExampleRecord {
                latent: 1,
                group: if strong { 4 } else { 2 },
                sequence,
                positions: vec![1, 3],
                values: vec![max, max / 2.0],
            }
        })
        .collect();
    let groups = [4, 2]
        .map(|group| GroupRecord {
            latent: 1,
            group: ExampleGroup {
                group,
                from: f64::from(group),
                to: f64::from(group) + 1.0,
                examples: count,
                sequences: 10 * count,
            },
        })
        .into();
    (sequences, examples, groups)
}

pub(crate) fn histogram() -> LogHistogram {
    [0.5, 0.5, 0.55, 0.7].into_iter().collect()
}

/// Two activations on third control tokens, in the strongest bucket.
pub(crate) fn template() -> TemplateLatent {
    let sums = TemplateSums {
        count: 2,
        sum: 3.0,
        max: 2.0,
    };
    TemplateLatent::from_parts([(11, sums)])
}

pub(crate) fn lens(sign: f64) -> LogitLens {
    let token = |id, value| LensToken {
        id,
        text: texts()
            .into_iter()
            .find(|t| t.0 == id)
            .map(|t| t.1)
            .unwrap_or_default(),
        value,
    };
    LogitLens {
        top: vec![token(7, 2.0 * sign), token(8, 1.5 * sign)],
        bottom: vec![token(9, -2.0 * sign)],
    }
}

/// Writes everything but what a test adds itself.
pub(crate) fn fill(writer: &Writer, rows: &[LatentRow]) {
    writer.set_latents(rows).unwrap();
    writer.set_scaling(1000, &store::Scaled::All).unwrap();
    writer
        .set_histograms([HistogramRecord {
            latent: 1,
            histogram: histogram(),
        }])
        .unwrap();
    let lenses = [(ModelName::Base, 1.0), (ModelName::Chat, 3.0)];
    writer
        .set_lenses(lenses.map(|(model, sign)| LensRecord {
            latent: 1,
            model,
            lens: lens(sign),
        }))
        .unwrap();
    writer
        .set_neighbours([NeighbourRecord {
            latent: 1,
            neighbours: vec![(3, 0.9), (0, -0.25)],
        }])
        .unwrap();
    writer.set_tokens(texts()).unwrap();
    let (sequences, records, groups) = examples(3);
    writer
        .set_examples("collection", &sequences, records, groups)
        .unwrap();
    let parts = ["web", "chat"].map(|name| PartRecord {
        by: "corpus".into(),
        name: name.into(),
        tokens: 500,
    });
    let share = ShareRecord {
        latent: 1,
        part: 1,
        active_tokens: 4,
        max: 2.0,
        mean: 0.5,
    };
    writer.set_shares(&parts, [share]).unwrap();
    writer
        .set_twins(
            [(1, 2, 0.95), (1, 3, 0.97), (4, 2, 0.91)].map(|(chat, base, cosine)| TwinRecord {
                chat,
                base,
                cosine,
            }),
        )
        .unwrap();
    let partners = [(4, 0.75), (0, 0.5)].map(|(id, correlation)| Partner {
        id,
        correlation,
        together: 7,
    });
    writer.set_correlated([(1, partners.to_vec())]).unwrap();
    writer
        .set_template([("ctrl".into(), 40)], [(1, &template())])
        .unwrap();
    writer.set_concepts(&[concept(1)]).unwrap();
    writer.set_training(&training()).unwrap();
    writer.set_meta("corpus", "web.jsonl").unwrap();
}
