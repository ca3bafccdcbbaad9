//! A server that cannot start says why, before anything listens.

use std::{fs, net::TcpListener, path::Path};

use crate::common::{analyse, fixtures, manifest, options, study};
use server::{App, Error, serve};

fn refusal(study: &Path) -> String {
    match App::open(&options(study)) {
        Ok(_) => panic!("the study was opened"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = study(&manifest());
    let mut options = options(folder.path());
    options.addr = taken.local_addr().unwrap();
    let error = serve(options, |_| panic!("it listens")).await.unwrap_err();
    assert!(matches!(error, Error::PortInUse { .. }));
    let sentence = error.to_string();
    assert!(
        sentence.contains(&taken.local_addr().unwrap().to_string()) && sentence.contains("--addr"),
        "{sentence}"
    );
}

#[test]
fn studies_with_a_fault_are_refused_by_name() {
    let empty = tempfile::tempdir().unwrap();
    assert!(refusal(empty.path()).contains("study.toml"));

    let mut missing = manifest();
    missing.chat.as_mut().unwrap().path = Some("models/gone".into());
    assert!(refusal(study(&missing).path()).contains("gone"));

    let mut far = manifest();
    far.layer = 9;
    assert!(refusal(study(&far).path()).contains("layer 9 is out of range"));

    let mut wrong = manifest();
    wrong.dictionaries[0].kind = Some("batchtopk".into());
    assert!(refusal(study(&wrong).path()).contains("kind"));

    let mut gone = manifest();
    gone.dictionaries[1].path = Some("dictionaries/gone".into());
    assert!(refusal(study(&gone).path()).contains("gone"));

    let damaged = study(&manifest());
    fs::write(damaged.path().join(store::DATABASE), "not a database").unwrap();
    assert!(refusal(damaged.path()).contains(store::DATABASE));

    let truncated = tempfile::tempdir().unwrap();
    for file in ["config.json", "trainer_config.json", "model.safetensors"] {
        let bytes = fs::read(fixtures().join("crosscoder-l1").join(file)).unwrap();
        let kept = if file == "model.safetensors" {
            bytes.len() - 100
        } else {
            bytes.len()
        };
        fs::write(truncated.path().join(file), &bytes[..kept]).unwrap();
    }
    let mut short = manifest();
    short.dictionaries[0].path = Some(truncated.path().to_path_buf());
    assert!(refusal(study(&short).path()).contains("model.safetensors"));
}

#[test]
fn a_database_of_another_dictionary_is_refused() {
    let folder = study(&manifest());
    analyse(folder.path());
    let mut swapped = manifest();
    // Its analysis says 128 latents; this dictionary of the same name has 4.
    let other = tempfile::tempdir().unwrap();
    let zeros = vec![0u8; 2 * 48 * 4 * 4];
    let shapes = [
        ("encoder.weight", vec![2, 48, 4]),
        ("encoder.bias", vec![4]),
        ("decoder.weight", vec![2, 4, 48]),
        ("decoder.bias", vec![2, 48]),
        ("k", vec![]),
        ("threshold", vec![]),
    ];
    let views = shapes.iter().map(|(name, shape)| {
        let kind = if *name == "k" {
            safetensors::Dtype::I32
        } else {
            safetensors::Dtype::F32
        };
        let bytes = &zeros[..shape.iter().product::<usize>() * 4];
        (
            *name,
            safetensors::tensor::TensorView::new(kind, shape.clone(), bytes).unwrap(),
        )
    });
    safetensors::serialize_to_file(views, None, &other.path().join("model.safetensors")).unwrap();
    swapped.dictionaries[1].path = Some(other.path().to_path_buf());
    swapped.write(folder.path()).unwrap();
    let sentence = refusal(folder.path());
    assert!(
        sentence.contains("128 latents") && sentence.contains("stereoscope analyse"),
        "{sentence}"
    );
}

#[test]
fn browsing_needs_no_weights_where_the_analysis_is_complete() {
    let folder = study(&manifest());
    analyse(folder.path());
    let mut moved = manifest();
    moved.dictionaries.remove(0);
    moved.dictionaries[0].path = Some("dictionaries/elsewhere".into());
    moved.chat.as_mut().unwrap().path = Some("models/elsewhere".into());
    moved.write(folder.path()).unwrap();
    let mut options = options(folder.path());
    assert!(App::open(&options).is_err());
    options.browse_only = true;
    assert!(App::open(&options).unwrap().absent().is_some());
}
