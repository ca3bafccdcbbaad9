//! A dictionary left in its file computes what the same one in memory does.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use candle_core::{DType, Device};
use crosscoder::{Active, Crosscoder, Residence};

use crate::common::{Folder, assert_close, expected, fixture, numbers, tensor};

fn load(dir: &Path, residence: Residence) -> crosscoder::Result<Crosscoder> {
    Crosscoder::load_to(dir, &Device::Cpu, residence)
}

#[test]
fn codes_halves_and_reconstructions_are_those_in_memory() {
    let all = &expected()["activations"];
    for (variant, dtype) in [
        ("l1", DType::F32),
        ("l1", DType::BF16),
        ("batchtopk", DType::F32),
        ("batchtopk", DType::BF16),
    ] {
        let mut folder = Folder::copy(&format!("crosscoder-{variant}"));
        for name in ["encoder.weight", "decoder.weight"] {
            let stored = folder.tensors[name].to_dtype(dtype).unwrap();
            folder.set(name, stored);
        }
        let dir = folder.write();
        let [memory, files] = [Residence::Memory, Residence::Files].map(|r| load(dir, r).unwrap());
        assert_eq!(files.norms(1), memory.norms(1));
        assert_eq!(files.decoder_row(1, 77), memory.decoder_row(1, 77));
        let alone = crosscoder::decoder_rows(dir, 77).unwrap();
        assert_eq!(alone, [0, 1].map(|model| memory.residual_row(model, 77)));
        let outside = crosscoder::decoder_rows(dir, 128).unwrap_err();
        assert!(outside.to_string().contains("128"), "{outside}");
        assert!(files.decoder_row(1, 128).is_empty());
        assert!(files.decoder().unwrap_err().to_string().contains("memory"));
        // Few rows and many take different paths.
        for tokens in [1, 3, all.dim(0).unwrap()] {
            let x = all.narrow(0, 0, tokens).unwrap();
            let [found, expected] = [&files, &memory].map(|c| c.encode(&x).unwrap());
            assert_close("f", &numbers(&found), &numbers(&expected));
            let [found, expected] =
                [&files, &memory].map(|c| numbers(&c.decode(&expected).unwrap()));
            assert_close("reconstruction", &found, &expected);
            let ids = [127, 0, 60];
            let [found, expected] =
                [&files, &memory].map(|c| numbers(&c.encode_latents(&x, &ids).unwrap()));
            assert_close("chosen", &found, &expected);
            let [found, expected] = [&files, &memory].map(|c| c.halves(&x, &ids).unwrap());
            assert_close("base", &found.base.concat(), &expected.base.concat());
            assert_close("chat", &found.chat.concat(), &expected.chat.concat());
            let [found, expected] = [&files, &memory].map(|c| c.codes(&x).unwrap());
            let ids = |active: &[Active]| active.iter().map(|a| a.id).collect::<Vec<_>>();
            assert_eq!(ids(found.all()), ids(expected.all()));
            let v = |active: &[Active]| active.iter().map(|a| a.v).collect::<Vec<_>>();
            assert_close("v", &v(found.all()), &v(expected.all()));
        }
    }
}

#[test]
fn a_token_s_codes_apart_have_the_bits_that_they_have_alone() {
    let x = &expected()["activations"].narrow(0, 0, 9).unwrap();
    for residence in [Residence::Memory, Residence::Files] {
        let dictionary = load(&fixture("crosscoder-batchtopk"), residence).unwrap();
        let all = dictionary.codes_apart(x).unwrap();
        let bits = |active: &[Active]| -> Vec<_> {
            active.iter().map(|a| (a.id, a.v.to_bits())).collect()
        };
        for token in 0..9 {
            let alone = dictionary.codes_apart(&x.narrow(0, token, 1).unwrap());
            assert_eq!(bits(alone.unwrap().token(0)), bits(all.token(token)));
        }
        let together = dictionary.codes(x).unwrap();
        let v = |active: &[Active]| active.iter().map(|a| a.v).collect::<Vec<_>>();
        assert_close("v", &v(all.all()), &v(together.all()));
    }
}

#[test]
fn formats_without_a_mapped_form_are_loaded() {
    let mut folder = Folder::exact();
    let half = folder.tensors["decoder.weight"]
        .to_dtype(DType::F16)
        .unwrap();
    folder.set("decoder.weight", half);
    let files = load(folder.write(), Residence::Files).unwrap();
    assert_eq!(files.decoder_row(1, 1)[..], [4.0, 0.0]);
    assert!(files.decoder().is_ok());
}

#[test]
fn a_number_that_is_none_is_found_in_the_file() {
    let mut folder = Folder::exact();
    folder.set(
        "decoder.weight",
        tensor(&[1., 0., 0., 2., 0., f32::NAN, 4., 0.], &[2, 2, 2]),
    );
    let refused = load(folder.write(), Residence::Files)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("decoder.weight"), "{refused}");
}

#[test]
fn a_file_written_to_fails_what_reads_it() {
    let folder = Folder::exact();
    let dir = folder.write();
    let files = load(dir, Residence::Files).unwrap();
    let x = tensor(&[1., 2., 3., 4.], &[1, 2, 2]);
    assert!(files.codes(&x).is_ok());
    let path = dir.join("model.safetensors");
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(&[0]).unwrap();
    let of_all = files.codes(&x).unwrap_err().to_string();
    let of_few = files.few(&[0]).unwrap_err().to_string();
    for refused in [of_all, of_few] {
        assert!(
            refused.contains("model.safetensors") && refused.contains("start"),
            "{refused}"
        );
    }
}
