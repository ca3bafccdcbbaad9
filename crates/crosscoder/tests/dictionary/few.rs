//! A few latents' codes are those that the whole dictionary's encoding finds.

use candle_core::{DType, Device, Tensor};
use crosscoder::{Active, Crosscoder, Residence};

use crate::common::{Folder, assert_close, expected, integer, numbers, tensor};

/// Compares a dictionary's codes of a few latents with all its codes, at every token of `x` [N, 2, D].
fn compare(crosscoder: &Crosscoder, x: &Tensor, ids: &[u32]) -> usize {
    let all = crosscoder.codes(x).unwrap();
    let few = crosscoder.few(ids).unwrap();
    let (dim, residuals) = (crosscoder.activation_dim(), numbers(x));
    let mut found = Vec::new();
    let mut wanted = Vec::new();
    for (token, residual) in residuals.chunks(2 * dim).enumerate() {
        let (base, chat) = residual.split_at(dim);
        let seen = crosscoder.seen([base, chat]);
        found.extend(crosscoder.codes_of_few(&few, &seen));
        let chosen = |active: &&Active| ids.contains(&active.id);
        wanted.extend(all.token(token).iter().filter(chosen).copied());
    }
    let ids = |active: &[Active]| active.iter().map(|a| a.id).collect::<Vec<_>>();
    assert_eq!(ids(&found), ids(&wanted));
    let values = |active: &[Active]| {
        active
            .iter()
            .flat_map(|a| [a.v, a.f[0], a.f[1]])
            .collect::<Vec<_>>()
    };
    assert_close("few", &values(&found), &values(&wanted));
    found.len()
}

#[test]
fn a_few_latents_codes_are_those_of_the_whole_dictionary() {
    let x = &expected()["activations"];
    for variant in ["l1", "batchtopk"] {
        for dtype in [DType::F32, DType::BF16] {
            for normalization in [1, 4, 5] {
                let mut folder = Folder::copy(&format!("crosscoder-{variant}"));
                let encoder = folder.tensors["encoder.weight"].to_dtype(dtype).unwrap();
                folder.set("encoder.weight", encoder);
                folder.set("code_normalization_id", integer(normalization));
                let dir = folder.write();
                for residence in [Residence::Memory, Residence::Files] {
                    let load = Crosscoder::load_to(dir, &Device::Cpu, residence);
                    let ids: Vec<u32> = (0..128).rev().step_by(2).collect();
                    assert!(compare(&load.unwrap(), x, &ids) > 10);
                }
            }
        }
    }
}

#[test]
fn a_few_latents_of_a_normalised_dictionary_read_normalised_activations() {
    let mut folder = Folder::exact();
    folder.set("activation_mean", tensor(&[1., 2., 3., 4.], &[2, 2]));
    folder.set("activation_std", tensor(&[1., 1., 2., 2.], &[2, 2]));
    folder.set("target_rms", tensor(&[2.5], &[]));
    let crosscoder = folder.load().unwrap();
    assert!(crosscoder.normalizer().is_some());
    let x = tensor(&[5., 2., 3., -1., 9., -4., 7., 8.], &[2, 2, 2]);
    assert!(compare(&crosscoder, &x, &[0, 1]) > 0);
}

#[test]
fn a_latent_s_code_does_not_depend_on_the_others() {
    let crosscoder = Folder::copy("crosscoder-l1").load().unwrap();
    let residuals = numbers(&expected()["activations"].narrow(0, 0, 1).unwrap());
    let (base, chat) = residuals.split_at(crosscoder.activation_dim());
    let seen = crosscoder.seen([base, chat]);
    let codes = |ids: &[u32]| crosscoder.codes_of_few(&crosscoder.few(ids).unwrap(), &seen);
    let all = codes(&(0..128).collect::<Vec<_>>());
    for active in &all {
        assert_eq!(codes(&[active.id]), [*active]);
    }
    assert!(all.len() > 1);
    assert_eq!(codes(&[]), []);
    let outside = crosscoder.few(&[3, 128]).unwrap_err().to_string();
    assert!(outside.contains("128"), "{outside}");
}
