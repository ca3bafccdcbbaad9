//! Small exact cases: code normalisations, normaliser, thresholds, selection.

use crate::common::{Folder, integer, numbers, tensor};
use candle_core::Tensor;
use crosscoder::{
    CodeNormalization, Crosscoder, Edit, Kind, Normalizer, Unedited, top_k_over_batch,
};

/// Base (1, 2), chat (3, −1).
fn x() -> Tensor {
    tensor(&[1., 2., 3., -1.], &[1, 2, 2])
}

fn with_normalization(id: i64) -> Crosscoder {
    let mut folder = Folder::exact();
    folder.set("code_normalization_id", integer(id));
    folder.load().unwrap()
}

fn close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!(
            (f - e).abs() <= 1e-6 * e.abs().max(1.0),
            "{found:?} is not {expected:?}"
        );
    }
}

#[test]
fn e1_the_exact_case_under_every_normalisation() {
    let (sae, mixed) = ([3.162_277_7, 4.472_136], [3.562_277_7, 5.072_136]);
    let weights: [(i64, &[f32], f32); 5] = [
        (1, &[4., 6.], 16.0),
        (2, &sae, 4.0 * sae[0]),
        (3, &mixed, 4.0 * mixed[0]),
        (4, &[1., 1.], 4.0),
        (5, &[1., 2., 3., 4.], 16.0),
    ];
    for (id, w, v) in weights {
        let crosscoder = with_normalization(id);
        close(crosscoder.scaling(), w);
        let codes = crosscoder.codes(&x()).unwrap();
        assert_eq!(codes.token(0).len(), 1, "latent 1 is silent");
        let active = codes.token(0)[0];
        assert_eq!((active.id, active.f), (0, [4.0, 4.0]));
        close(&[active.v], &[v]);
        assert_eq!(codes.values(1), [0.0]);
        assert_eq!(codes.top(0, 5).len(), 1);

        let f = crosscoder.encode(&x()).unwrap();
        let decoupled = id == 5;
        assert_eq!(f.dims(), if decoupled { &[1, 2, 2][..] } else { &[1, 2] });
        close(
            &numbers(&f),
            if decoupled {
                &[4., 0., 4., 0.]
            } else {
                &[4., 0.]
            },
        );
        close(
            &numbers(&crosscoder.decode(&f).unwrap()),
            &[4., 0., 0., 12.],
        );
        assert_eq!(crosscoder.norms(0), [1., 2.]);
        assert_eq!(crosscoder.norms(1), [3., 4.]);
        let halves = crosscoder.halves(&x(), &[0]).unwrap();
        let sum = halves.base[0][0] + halves.chat[0][0];
        close(&halves.values[0], &[v]);
        // The bias of latent 0 is 0.
        close(&[sum], &[v]);
    }
}

#[test]
fn mixed_weights_come_from_the_configuration() {
    let mut folder = Folder::exact();
    folder.json.insert(
        "config.json",
        r#"{"code_normalization": "MIXED", "code_normalization_alpha_sae": 2.0, "code_normalization_alpha_cc": 0.5}"#.into(),
    );
    let crosscoder = folder.load().unwrap();
    let expected = CodeNormalization::Mixed {
        alpha_sae: 2.0,
        alpha_cc: 0.5,
    };
    assert_eq!(crosscoder.header().normalization, expected);
    close(&crosscoder.scaling()[..1], &[2.0 * 10f32.sqrt() + 2.0]);
}

#[test]
fn e5_an_activation_at_the_threshold_is_inactive() {
    for (threshold, active) in [(15.9, true), (16.0, false), (-1.0, true)] {
        let mut folder = Folder::exact();
        folder.set("k", integer(1));
        folder.set("threshold", tensor(&[threshold], &[]));
        let crosscoder = folder.load().unwrap();
        assert_eq!(crosscoder.kind(), Kind::BatchTopK);
        let f = numbers(&crosscoder.encode(&x()).unwrap());
        assert_eq!(f, [if active { 4.0 } else { 0.0 }, 0.0], "{threshold}");
        assert_eq!(
            crosscoder.codes(&x()).unwrap().all().len(),
            usize::from(active)
        );
    }
}

#[test]
fn decoupled_models_have_thresholds_of_their_own() {
    let mut folder = Folder::exact();
    folder.set("code_normalization_id", integer(5));
    folder.set("k", integer(1));
    // v is 4 in base and 12 in chat.
    folder.set("threshold", tensor(&[5.0, 11.0], &[2]));
    let crosscoder = folder.load().unwrap();
    let f = crosscoder.encode(&x()).unwrap();
    assert_eq!(numbers(&f), [0., 0., 4., 0.]);
    assert_eq!(
        numbers(&crosscoder.encode_latents(&x(), &[0]).unwrap()),
        [0., 4.]
    );
    let active = crosscoder.codes(&x()).unwrap().token(0)[0];
    assert_eq!((active.f, active.v), ([0.0, 4.0], 12.0));
    assert_eq!(numbers(&crosscoder.decode(&f).unwrap()), [0., 0., 0., 12.]);
    let codes = crosscoder.codes(&x()).unwrap();
    assert_eq!(crosscoder.reconstruct(&codes), [0., 0., 0., 12.]);
    let mut moved = [0f32; 2];
    crosscoder.add_difference(codes.token(0), |_| true, 0, 1.0, &mut moved);
    assert_eq!(moved, [0., -12.]);
}

#[test]
fn e4_selection_is_over_the_batch_and_settles_ties_by_order() {
    let kept = |v: &[f32], rows, k| top_k_over_batch(v, rows, k).kept;
    assert_eq!(kept(&[5., 1., 4., 3.], 2, 1), [0, 2]);
    assert_eq!(kept(&[5., 4., 1., 0.5], 2, 1), [0, 1]);
    assert_eq!(kept(&[2., 2., 2., 2.], 2, 1), [0, 1]);
    assert_eq!(kept(&[1., 2., 3., 2.], 2, 1), [1, 2]);
    assert_eq!(kept(&[0., -1., 3., f32::NAN], 2, 2), [2]);
    assert!(kept(&[1., 2.], 1, 0).is_empty());
    assert_eq!(top_k_over_batch(&[5., 1., 4., 3.], 2, 1).threshold, 4.0);
    assert_eq!(top_k_over_batch(&[0.; 4], 2, 1).threshold, 0.0);
}

#[test]
fn selection_equals_a_full_sort() {
    let v: Vec<f32> = (0..4000u32)
        .map(|i| ((i.wrapping_mul(2_654_435_761) >> 16) % 97) as f32 - 20.0)
        .collect();
    for k in [1, 7, 60, 100] {
        let mut order: Vec<usize> = (0..v.len()).filter(|&i| v[i] > 0.0).collect();
        order.sort_by(|&a, &b| v[b].total_cmp(&v[a]).then(a.cmp(&b)));
        order.truncate(k * 40);
        let smallest = v[*order.last().unwrap()];
        order.sort_unstable();
        let found = top_k_over_batch(&v, 40, k);
        assert_eq!(found.kept, order, "{k}");
        assert_eq!(found.threshold, smallest);
    }
}

/// A normaliser fitted to rows, with population deviations.
fn fitted(rows: &[f32], dim: usize, target: f32) -> Normalizer {
    let mut moments = [diffing::Moments::new(dim), diffing::Moments::new(dim)];
    for (i, row) in rows.chunks_exact(dim).enumerate() {
        moments[i % 2].add(row).unwrap();
    }
    let [base, chat] = &moments;
    Normalizer::from_moments([base, chat], target).unwrap()
}

#[test]
fn e9_normalised_activations_have_the_target_norm() {
    let (dim, target) = (3, 10.0);
    let rows: Vec<f32> = (0..2 * dim * 200)
        .map(|i| ((i * i) % 101) as f32 * if i % 2 == 0 { 0.1 } else { 3.0 } + 5.0)
        .collect();
    let normalizer = fitted(&rows, dim, target);
    let mut out = vec![0f32; rows.len()];
    normalizer.normalize_into(&rows, &mut out);
    for model in 0..2 {
        let squares: f32 = out
            .chunks_exact(2 * dim)
            .flat_map(|t| &t[model * dim..(model + 1) * dim])
            .map(|x| x * x)
            .sum();
        let mean = squares / 200.0;
        assert!((mean / (target * target) - 1.0).abs() < 1e-4, "{mean}");
    }
}

#[test]
fn a_normalised_dictionary_encodes_normalised_and_decodes_back() {
    let (mean, std) = ([1., 0., -1., 2.], [3., 4., 0., 2.]);
    let scale = [10f32 / 5.0, 10f32 / 2.0];
    let mut folder = Folder::exact();
    folder.set("activation_mean", tensor(&mean, &[2, 2]));
    folder.set("activation_std", tensor(&std, &[2, 2]));
    folder.set("target_rms", tensor(&[10.0], &[]));
    let crosscoder = folder.load().unwrap();
    assert!(crosscoder.header().normalized);
    // x' is (0, 4), (20, −15): pre is 0 + 20 and 4 − 20 − 15 − 1.
    let normalized = crosscoder.normalize(&x()).unwrap();
    close(&numbers(&normalized), &[0., 4., 20., -15.]);
    let f = crosscoder.encode(&x()).unwrap();
    close(&numbers(&f), &[20., 0.]);
    let stored = crosscoder.decode_normalized(&f).unwrap();
    close(&numbers(&stored), &[20., 0., 0., 60.]);
    close(
        &numbers(&crosscoder.decode(&f).unwrap()),
        &[20. / 2. + 1., 0., -1., 60. / 5. + 2.],
    );
    let codes = crosscoder.codes(&x()).unwrap();
    close(
        &crosscoder.reconstruct_normalized(&codes),
        &[20., 0., 0., 60.],
    );
    close(&crosscoder.reconstruct(&codes), &[11., 0., -1., 14.]);
    close(&crosscoder.residual_row(1, 0), &[0., 3.0 / scale[1]]);
    let alone = crosscoder::decoder_rows(folder.write(), 0).unwrap();
    assert_eq!(alone, [0, 1].map(|model| crosscoder.residual_row(model, 0)));
    close(&crosscoder.residual_bias(0), &[1., 0.]);
    let mut moved = [0f32; 2];
    crosscoder.add_difference(codes.token(0), |id| id == 0, 1, 0.5, &mut moved);
    close(&moved, &[-5., 6.]);
    let token = Unedited {
        residual: [None, None],
        active: codes.token(0),
    };
    let edited = |edits: &[Edit], mut h: [f32; 2]| {
        crosscoder.edit(edits, &token, &mut h);
        h
    };
    let clamp = Edit::Clamp {
        codes: vec![(0, 10.0)],
        decoder: 1,
    };
    let rebuild = Edit::Reconstruct { decoder: 1 };
    let project = Edit::ProjectOut {
        latents: vec![0],
        decoder: 1,
    };
    close(&edited(std::slice::from_ref(&clamp), [0., 0.]), &[0., -6.]);
    close(
        &edited(std::slice::from_ref(&rebuild), [5., 5.]),
        &[-1., 14.],
    );
    close(&edited(&[clamp, rebuild], [5., 5.]), &[-1., 8.]);
    close(&edited(&[project], [3., 7.]), &[3., 0.]);
}

#[test]
fn a_normaliser_full_of_nan_is_none() {
    let mut folder = Folder::exact();
    let nan = tensor(&[f32::NAN; 4], &[2, 2]);
    folder.set("activation_mean", nan.clone());
    folder.set("activation_std", nan);
    folder.set("activation_global_scale", tensor(&[1., 1.], &[2]));
    let crosscoder = folder.load().unwrap();
    assert!(!crosscoder.header().normalized);
    close(&numbers(&crosscoder.encode(&x()).unwrap()), &[4., 0.]);
}
