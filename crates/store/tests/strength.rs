//! Fits by strength and joint histograms: written, read, amended, carried over, and absent from older databases.
#![allow(clippy::unwrap_used)] // a failed test is a panic

mod common;

use std::path::Path;

use api::{BucketFit, ClassCuts, ScalingBucket, ScalingFit};
use common::{fill, rows};
use diffing::JointHistogram;
use store::{Store, Writer};

fn fit(target: &str, scale: f64) -> BucketFit {
    BucketFit {
        fit: ScalingFit {
            target: target.into(),
            before: [4.0 * scale, 8.0],
            after: [2.0, 0.5 * scale],
        },
        before_std: Some([0.25, 0.5]),
        after_std: None,
    }
}

fn buckets(scale: f64) -> Vec<ScalingBucket> {
    let bucket = |from: f64, to: f64, fits: Vec<BucketFit>| ScalingBucket {
        from,
        to,
        tokens: 3 * fits.len() as u64,
        fits,
    };
    let fits = vec![fit("activation", scale), fit("error", scale)];
    vec![
        bucket(0.0, 1.0 / 3.0, Vec::new()),
        bucket(1.0 / 3.0, 2.0 / 3.0, fits.clone()),
        bucket(2.0 / 3.0, 1.0, fits),
    ]
}

fn histograms() -> [JointHistogram; 2] {
    let mut own = JointHistogram::default();
    own.0[0][0] = 5_000_000_000;
    own.0[4][1] = 3;
    own.0[3][3] = 1;
    let mut pair = own;
    pair.0[2][0] = 7;
    [pair, own]
}

fn open(path: &Path) -> Store {
    Store::open(path, &ClassCuts::default()).unwrap()
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let writer = Writer::replace(&path, "a").unwrap();
    fill(&writer, &rows(5, 1));
    writer
        .set_verification([(1, buckets(1.0)), (2, buckets(2.0))])
        .unwrap();
    // Latents 1 and 2 are twins, 1 and 4 fire together.
    writer
        .set_joints([((1, 2), histograms()), ((1, 4), histograms())])
        .unwrap();
    writer.finish().unwrap();

    let store = open(&path);
    assert_eq!(store.latent("a", 1).unwrap().verification, buckets(1.0));
    assert_eq!(store.latent("a", 2).unwrap().verification, buckets(2.0));
    assert!(store.latent("a", 3).unwrap().verification.is_empty());
    let joint = |id: u32, other: u32| {
        let twins = store.latent("a", id).unwrap().twins;
        let twin = twins.into_iter().find(|twin| twin.near.id == other);
        twin.unwrap().joint
    };
    let (this, other) = (joint(1, 2).unwrap(), joint(2, 1).unwrap());
    assert_eq!(this.by_own.counts[4], [0, 3, 0, 0, 0]);
    assert_eq!(this.by_pair.counts[2][0], 7);
    assert_eq!(this.by_own.counts[0][0], 5_000_000_000);
    assert!((this.by_own.divergence - 0.75).abs() < 1e-9);
    assert_eq!(other.by_own.counts[1][4], 3, "rows are the page's latent");
    assert_eq!(other.by_own.divergence, this.by_own.divergence);
    assert_eq!(joint(1, 3), None);
    let partners = store.latent("a", 1).unwrap().correlated;
    assert!(partners[0].id == 4 && partners[0].joint.is_some());
    assert!(partners[1].joint.is_none());
    assert_eq!(store.closest_partners("a").unwrap(), [(1, 4)]);
    drop(store);

    // Another dictionary's rows, a later run for one latent, and a run that leaves them alone.
    let writer = Writer::replace(&path, "b").unwrap();
    fill(&writer, &rows(5, 2));
    writer.finish().unwrap();
    let writer = Writer::amend(&path, "a").unwrap();
    writer.amend_verification(&[(2, buckets(5.0))]).unwrap();
    writer.finish().unwrap();
    let store = open(&path);
    assert_eq!(store.latent("a", 1).unwrap().verification, buckets(1.0));
    assert_eq!(store.latent("a", 2).unwrap().verification, buckets(5.0));
    assert!(store.joint("a", 4, 1).unwrap().is_some());
    assert!(store.joint("b", 4, 1).unwrap().is_none());
    assert!(store.latent("b", 1).unwrap().verification.is_empty());
}

#[test]
fn a_database_of_before_knows_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let writer = Writer::replace(&path, "a").unwrap();
    fill(&writer, &rows(5, 1));
    writer.finish().unwrap();
    let connection = duckdb::Connection::open(&path).unwrap();
    connection
        .execute_batch("DROP TABLE verification; DROP TABLE joints")
        .unwrap();
    connection.close().unwrap();
    let store = open(&path);
    let detail = store.latent("a", 1).unwrap();
    assert!(detail.verification.is_empty() && detail.twins[0].joint.is_none());
    drop(store);
    let writer = Writer::amend(&path, "a").unwrap();
    writer.set_joints([((1, 2), histograms())]).unwrap();
    writer.finish().unwrap();
    assert!(open(&path).joint("a", 1, 2).unwrap().is_some());
}
