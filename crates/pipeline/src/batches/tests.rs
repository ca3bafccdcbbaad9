//! Batches over shards whose every row says where it comes from.

use std::collections::BTreeSet;
use std::path::Path;

use api::TokenKind;

use super::*;
use crate::collect::{Piece, Plan};
use crate::collection::{Corpus, Identity, no_moments, write_shard};
use crate::corpus::Origin;
use crate::shard::{Precision, Role};

/// Tokens of a sequence.
const LENGTH: usize = 5;

/// A collection of width 1 with so many sequences in each shard of each corpus. Row: corpus, number of the token in the corpus.
fn collection(folder: &Path, corpora: &[&[usize]]) -> Collection {
    let identity = Identity {
        format: Identity::FORMAT,
        models: [String::new(), String::new()],
        hidden_size: 1,
        layer: 0,
        context: LENGTH,
        skip_first: 0,
        precision: Precision::F32,
        tokens: 1000,
        shard_tokens: 1,
        corpora: corpora
            .iter()
            .enumerate()
            .map(|(number, _)| Corpus {
                name: format!("corpus-{number}"),
                field: None,
                share: None,
                bytes: 0,
                sha256: String::new(),
            })
            .collect(),
    };
    let mut plan = Plan {
        identity,
        truncated: 0,
        empty: 0,
        shards: Vec::new(),
    };
    for (corpus, shards) in corpora.iter().enumerate() {
        let mut token = 0;
        for &sequences in *shards {
            let mut shard = Shard::default();
            for _ in 0..sequences {
                let rows: Vec<f32> = (token..token + LENGTH)
                    .flat_map(|token| [corpus as f32, token as f32])
                    .collect();
                let (kinds, roles) = ([TokenKind::Content; LENGTH], [Role::None; LENGTH]);
                shard.push(&[7; LENGTH], &kinds, &roles, &rows, Origin::default());
                token += LENGTH;
            }
            let number = plan.shards.len();
            write_shard(
                folder,
                number,
                corpus,
                &shard,
                &plan.identity,
                no_moments(1),
            )
            .unwrap();
            plan.shards.push(Piece {
                corpus,
                first: 0,
                documents: sequences as u64,
                sequences: sequences as u64,
                tokens: (sequences * LENGTH) as u64,
            });
        }
    }
    Collection::merge(folder, plan).unwrap()
}

/// The next `count` batches as pairs of corpus and token.
fn take(batches: &mut Batches<'_>, count: u64) -> Vec<(usize, usize)> {
    (0..count)
        .flat_map(|_| {
            let rows = batches.take().unwrap().chunks_exact(2);
            rows.map(|row| (row[0] as usize, row[1] as usize))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Bytes of so many rows.
fn block(rows: usize) -> usize {
    rows * 2 * size_of::<f32>()
}

#[test]
fn corpora_alternate_in_every_batch_and_the_rest_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let collection = collection(folder.path(), &[&[3, 4, 3], &[4, 4, 4, 4]]);
    let kind = DataOrder::Alternate;
    let mut batches = Batches::with_blocks(&collection, kind, 0.0, 1, 7, block(24)).unwrap();
    assert_eq!(batches.unused(), [("corpus-1".to_string(), 30)]);
    // 50 rows of each corpus in blocks of 12, batches of 7 across their borders.
    assert_eq!(batches.epoch_steps(), 14);
    let epoch = take(&mut batches, 14);
    for (position, (corpus, token)) in epoch.iter().enumerate() {
        assert_eq!(*corpus, position % 2);
        assert_eq!(token / 12, position / 24, "stays in its block");
    }
    assert_eq!(epoch.iter().collect::<BTreeSet<_>>().len(), 98);
    let next = take(&mut batches, 14);
    assert_ne!(epoch, next);
}

#[test]
fn any_step_can_be_gone_to() {
    let folder = tempfile::tempdir().unwrap();
    let collection = collection(folder.path(), &[&[3, 4, 3], &[2, 5, 1]]);
    let alone = tempfile::tempdir().unwrap();
    let single = self::collection(alone.path(), &[&[3, 4, 3, 2]]);
    for (collection, kind) in [
        (&collection, DataOrder::Alternate),
        (&collection, DataOrder::Mix),
        (&single, DataOrder::Mix),
    ] {
        let new = || Batches::with_blocks(collection, kind, 0.2, 9, 6, block(22)).unwrap();
        let all = take(&mut new(), 20);
        for step in [0, 1, 5, 6, 13, 19] {
            let mut batches = new();
            batches.seek(step);
            assert_eq!(
                take(&mut batches, 1),
                all[step as usize * 6..][..6],
                "{kind:?} {step}"
            );
        }
    }
}

#[test]
fn an_epoch_reads_every_row_that_is_not_held_out_once() {
    let folder = tempfile::tempdir().unwrap();
    let collection = collection(folder.path(), &[&[30, 20], &[7]]);
    let mut batches =
        Batches::with_blocks(&collection, DataOrder::Mix, 0.2, 0, 1, block(30)).unwrap();
    let steps = batches.epoch_steps();
    let epoch = take(&mut batches, steps);
    let read: BTreeSet<_> = epoch.iter().copied().collect();
    assert_eq!(read.len(), epoch.len());
    let held = validation_rows(&collection, DataOrder::Mix, 0.2).unwrap();
    let held: BTreeSet<_> = held
        .chunks_exact(2)
        .map(|row| (row[0] as usize, row[1] as usize))
        .collect();
    assert!(read.is_disjoint(&held) && !held.is_empty());
    assert_eq!(read.len() + held.len(), 57 * LENGTH);
    // Whole sequences are held out.
    for (corpus, token) in held.iter().copied() {
        let sequence = token / LENGTH * LENGTH;
        assert!((sequence..sequence + LENGTH).all(|t| held.contains(&(corpus, t))));
    }
}

#[test]
fn validation_alternates_as_training_does() {
    let folder = tempfile::tempdir().unwrap();
    let collection = collection(folder.path(), &[&[40], &[60]]);
    let rows = validation_rows(&collection, DataOrder::Alternate, 0.5).unwrap();
    assert!(rows.len() > 100);
    for (position, row) in rows.chunks_exact(2).enumerate() {
        assert_eq!(row[0] as usize, position % 2);
    }
    assert!(
        validation_rows(&collection, DataOrder::Alternate, 0.0)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn too_little_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let collection = collection(folder.path(), &[&[2], &[1]]);
    let new = |held_out, batch| {
        Batches::new(&collection, DataOrder::Alternate, held_out, 0, batch).map(|_| ())
    };
    new(0.0, 10).unwrap();
    for (held_out, batch) in [(0.0, 11), (0.0, 0), (1.0, 1)] {
        assert!(new(held_out, batch).is_err(), "{held_out} {batch}");
    }
}
