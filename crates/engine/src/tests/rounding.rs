//! Weights rounded on request come from copies; unasked, small models keep their own.

use api::ModelName;

use super::{conversation, options};
use crate::{Options, WeightChoice, pair::Pair};

/// The chat model's residual of the first conversation, and the copies that loading left.
fn residual(weights: WeightChoice) -> (Vec<f32>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        weights,
        rounded: folder.path().join("copies"),
        ..options()
    };
    let mut last = 0.0;
    let pair = Pair::load(&options, &mut |fraction| {
        assert!(fraction >= last, "{fraction} after {last}");
        last = fraction;
    })
    .unwrap();
    let (_, ids) = conversation(0);
    let mut cache = pair.model(ModelName::Chat).cache(ids.len());
    let x = pair
        .model(ModelName::Chat)
        .lower(&ids, pair.layer, &mut cache)
        .unwrap();
    let copies = std::fs::read_dir(&options.rounded).map_or(0, Iterator::count);
    (x.flatten_all().unwrap().to_vec1().unwrap(), copies)
}

#[test]
fn a_pair_is_rounded_when_asked_and_never_when_small_otherwise() {
    let (stored, copies) = residual(WeightChoice::AsIs);
    assert_eq!(copies, 0);
    assert_eq!(residual(WeightChoice::Auto), (stored.clone(), 0));
    let (rounded, copies) = residual(WeightChoice::Bf16);
    assert_eq!(copies, 2);
    let largest = stored.iter().fold(0f32, |most, x| most.max(x.abs()));
    let apart = stored.iter().zip(&rounded).map(|(a, b)| (a - b).abs());
    let error = apart.fold(0.0, f32::max) / largest;
    assert!(error > 0.0 && error < 0.05, "{error}");
}
