//! Agreement with the reference values, to 1e-5 of each array's largest value.

use crate::common::{Folder, assert_close, expected, fixture, integer, numbers, tensor};
use candle_core::{DType, Device, Tensor};
use crosscoder::{Crosscoder, Kind, open, top_k_over_batch};

const VARIANTS: [(&str, Kind); 2] = [("l1", Kind::L1), ("batchtopk", Kind::BatchTopK)];

fn load(variant: &str) -> Crosscoder {
    Crosscoder::load(fixture(&format!("crosscoder-{variant}")), &Device::Cpu).unwrap()
}

#[test]
fn headers_say_what_the_folders_hold() {
    for (variant, kind) in VARIANTS {
        let header = open(fixture(&format!("crosscoder-{variant}"))).unwrap();
        assert_eq!((header.activation_dim, header.dict_size), (48, 128));
        assert_eq!(header.kind, kind);
        assert!(!header.normalized);
        let batch = kind == Kind::BatchTopK;
        assert_eq!(header.k, batch.then_some(9));
        assert_eq!(header.threshold(), batch.then_some(1.1));
    }
}

#[test]
fn codes_and_reconstructions_agree() {
    let expected = expected();
    let x = &expected["activations"];
    for (variant, _) in VARIANTS {
        let crosscoder = load(variant);
        let of = |name: &str| numbers(&expected[&format!("{variant}.{name}")]);
        let f = crosscoder.encode(x).unwrap();
        assert_close("f", &numbers(&f), &of("f"));
        let x_hat = crosscoder.decode(&f).unwrap();
        assert_close("reconstruction", &numbers(&x_hat), &of("reconstruction"));

        let codes = crosscoder.codes(x).unwrap();
        let latents = crosscoder.dict_size();
        let mut v = vec![0f32; codes.tokens() * latents];
        let mut l0 = Vec::new();
        for t in 0..codes.tokens() {
            l0.push(codes.token(t).len() as f32);
            for a in codes.token(t) {
                v[t * latents + a.id as usize] = a.v;
            }
        }
        assert_close("v", &v, &of("v"));
        assert_eq!(l0, of("l0"), "{variant}");
        assert_close(
            "sparse reconstruction",
            &crosscoder.reconstruct(&codes),
            &of("reconstruction"),
        );
        assert_close(
            "norms",
            &crosscoder.norms(1)[..2],
            &[
                diffing::norm(&crosscoder.decoder_row(1, 0)),
                diffing::norm(&crosscoder.decoder_row(1, 1)),
            ],
        );
    }
}

#[test]
fn selection_over_the_batch_agrees() {
    let expected = expected();
    let x = &expected["activations"];
    let crosscoder = load("batchtopk");
    let mut folder = Folder::copy("crosscoder-batchtopk");
    folder.tensors.remove("threshold");
    folder.tensors.remove("k");
    let relu = folder.load().unwrap();
    assert_eq!(relu.kind(), Kind::L1);
    let f = numbers(&relu.encode(x).unwrap());
    let v: Vec<f32> = f
        .iter()
        .zip(crosscoder.scaling().iter().cycle())
        .map(|(f, w)| f * w)
        .collect();
    let k = crosscoder.header().k.unwrap() as usize;
    let tokens = x.dim(0).unwrap();
    let selection = top_k_over_batch(&v, tokens, k);
    assert_eq!(selection.kept.len(), tokens * k);
    let mut kept = vec![0f32; f.len()];
    for i in selection.kept {
        kept[i] = f[i];
        assert!(v[i] >= selection.threshold);
    }
    let truth = numbers(&expected["batchtopk.f_topk"]);
    for (found, truth) in kept.iter().zip(&truth) {
        assert_eq!(*found == 0.0, *truth == 0.0);
    }
    assert_close("f_topk", &kept, &truth);
}

#[test]
fn chosen_latents_are_columns_of_the_dense_code() {
    let expected = expected();
    let x = &expected["activations"];
    let ids = [127u32, 0, 5, 0, 64];
    for (variant, _) in VARIANTS {
        let crosscoder = load(variant);
        let dense = crosscoder.encode(x).unwrap();
        let index = Tensor::new(&ids, &Device::Cpu).unwrap();
        let columns = dense.index_select(&index, 1).unwrap();
        let chosen = crosscoder.encode_latents(x, &ids).unwrap();
        assert_eq!(chosen.dims(), [x.dim(0).unwrap(), ids.len()]);
        assert_close("chosen", &numbers(&chosen), &numbers(&columns));

        let halves = crosscoder.halves(x, &ids).unwrap();
        let codes = crosscoder.codes(x).unwrap();
        for (j, &id) in ids.iter().enumerate() {
            assert_eq!(halves.values[j].len(), x.dim(0).unwrap());
            let (w, b) = (crosscoder.weight(id), bias(variant, id as usize));
            for (t, v) in codes.values(id).into_iter().enumerate() {
                let found = halves.values[j][t];
                assert!((found - v).abs() <= 1e-4, "{found} {v}");
                if v > 0.0 {
                    let sum = halves.base[j][t] + halves.chat[j][t] + w * b;
                    assert!((sum - v).abs() <= 1e-4 * v.max(1.0), "{sum} {v}");
                }
            }
        }
        assert!(halves.values[1].iter().any(|v| *v > 0.0));
        assert!(crosscoder.encode_latents(x, &[]).unwrap().elem_count() == 0);
    }
}

fn bias(variant: &str, latent: usize) -> f32 {
    let folder = Folder::copy(&format!("crosscoder-{variant}"));
    numbers(&folder.tensors["encoder.bias"])[latent]
}

#[test]
fn moving_latents_is_the_difference_of_their_decoder_parts() {
    let expected = expected();
    let x = &expected["activations"];
    let crosscoder = load("batchtopk");
    let codes = crosscoder.codes(x).unwrap();
    let dim = crosscoder.activation_dim();
    let x_hat = crosscoder.reconstruct(&codes);
    for (t, x_hat) in x_hat.chunks_exact(2 * dim).enumerate() {
        let mut moved = vec![0f32; dim];
        crosscoder.add_difference(codes.token(t), |_| true, 1, 1.0, &mut moved);
        let difference: Vec<f32> = (0..dim)
            .map(|d| {
                x_hat[dim + d]
                    - crosscoder.decoder_bias(1)[d]
                    - (x_hat[d] - crosscoder.decoder_bias(0)[d])
            })
            .collect();
        let largest = difference.iter().fold(0f32, |m, x| m.max(x.abs()));
        for (a, b) in moved.iter().zip(&difference) {
            assert!((a - b).abs() <= 1e-5 * largest.max(1.0));
        }
        crosscoder.add_difference(codes.token(t), |_| true, 0, 1.0, &mut moved);
        assert!(moved.iter().all(|x| x.abs() <= 1e-5 * largest.max(1.0)));
        let mut untouched = vec![0.5f32; dim];
        crosscoder.add_difference(codes.token(t), |_| false, 1, 1.0, &mut untouched);
        assert_eq!(untouched, vec![0.5; dim]);
    }
}

#[test]
fn names_of_compiled_models_and_half_precision_are_read() {
    let expected = expected();
    let x = &expected["activations"];
    let plain = load("batchtopk");
    let mut compiled = Folder::copy("crosscoder-batchtopk");
    compiled.tensors = compiled
        .tensors
        .into_iter()
        .map(|(n, t)| (format!("_orig_mod.{n}"), t))
        .collect();
    let compiled = compiled.load().unwrap();
    assert_eq!(compiled.header(), plain.header());
    assert_eq!(
        numbers(&compiled.encode(x).unwrap()),
        numbers(&plain.encode(x).unwrap())
    );
    for dtype in [DType::BF16, DType::F16] {
        let mut folder = Folder::copy("crosscoder-l1");
        for t in folder.tensors.values_mut() {
            *t = t.to_dtype(dtype).unwrap();
        }
        let rounded = folder.tensors["decoder.weight"]
            .to_dtype(DType::F32)
            .unwrap();
        let loaded = folder.load().unwrap();
        assert_eq!(
            loaded.decoder_row(0, 0),
            &numbers(&rounded)[..48],
            "{dtype:?}"
        );
    }
}

#[test]
fn old_files_with_a_bias_per_model_are_summed() {
    let expected = expected();
    let x = &expected["activations"];
    let mut folder = Folder::copy("crosscoder-l1");
    let bias = numbers(&folder.tensors["encoder.bias"]);
    let halves: Vec<f32> = [0.25f32, 0.75]
        .iter()
        .flat_map(|s| bias.iter().map(move |b| b * s))
        .collect();
    folder.set("encoder.bias", tensor(&halves, &[2, bias.len()]));
    folder.set("code_normalization_id", integer(1));
    let f = numbers(&folder.load().unwrap().encode(x).unwrap());
    assert_close("f", &f, &numbers(&expected["l1.f"]));
}
