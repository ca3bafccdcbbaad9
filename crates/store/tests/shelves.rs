//! Latents' pages are read for neighbours together: every latent gets its own rows, on whichever shelf it lies. Examples of one source.
#![allow(clippy::unwrap_used)] // a failed test is a panic

mod common;

use api::{ClassCuts, LogitLens};
use common::{fill, lens, rows};
use diffing::LogHistogram;
use store::{
    HistogramRecord, LensRecord, NeighbourRecord, PartRecord, ShareRecord, Store, TwinRecord,
    Writer,
};

/// A shelf and a part of one.
const MANY: u32 = 1_100;

/// Values that tell latents apart.
fn values(latent: u32) -> LogHistogram {
    (0..=latent % 5)
        .map(|i| (1 << (i + latent % 3)) as f32)
        .collect()
}

#[test]
fn every_latent_has_its_own_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let rows = rows(MANY, 3);
    let writer = Writer::replace(&path, "a").unwrap();
    writer.set_latents(&rows).unwrap();
    // In any order of latents.
    let ids = || (0..MANY).map(|i| (i * 7) % MANY);
    writer
        .set_histograms(ids().map(|latent| HistogramRecord {
            latent,
            histogram: values(latent),
        }))
        .unwrap();
    writer
        .set_lenses(ids().filter(|id| id % 2 == 0).map(|latent| LensRecord {
            latent,
            model: if latent % 4 == 0 {
                api::ModelName::Base
            } else {
                api::ModelName::Chat
            },
            lens: lens(f64::from(latent)),
        }))
        .unwrap();
    writer
        .set_neighbours(ids().map(|latent| NeighbourRecord {
            latent,
            neighbours: vec![((latent + 1) % MANY, 0.5), ((latent + 70) % MANY, 0.25)],
        }))
        .unwrap();
    let twin = |chat, base, cosine| TwinRecord { chat, base, cosine };
    writer
        .set_twins([twin(1, 1_050, 0.92), twin(63, 64, 0.95), twin(1, 0, 0.99)])
        .unwrap();
    let part = PartRecord {
        by: "corpus".into(),
        name: "web".into(),
        tokens: 10,
    };
    let shares = ids().map(|latent| ShareRecord {
        latent,
        part: 0,
        active_tokens: u64::from(latent),
        max: 2.0,
        mean: 1.0,
    });
    writer.set_shares(&[part], shares).unwrap();
    writer.finish().unwrap();

    let open = || Store::open(&path, &ClassCuts::default()).unwrap();
    let (store, ahead) = (open(), open());
    ahead.read_ahead("a").unwrap();
    assert!(ahead.read_ahead("b").is_err());
    for latent in (0..MANY).rev() {
        let detail = store.latent("a", latent).unwrap();
        assert_eq!(ahead.latent("a", latent).unwrap(), detail);
        assert_eq!(detail.row.id, latent);
        assert_eq!(detail.histogram, Some(values(latent).to_histogram()));
        let written = |lens: &Option<LogitLens>| lens.as_ref().map(|lens| lens.top[0].value);
        let expected = Some(lens(f64::from(latent)).top[0].value);
        let (base, chat) = (written(&detail.lens_base), written(&detail.lens_chat));
        match latent % 4 {
            0 => assert_eq!((base, chat), (expected, None)),
            2 => assert_eq!((base, chat), (None, expected)),
            _ => assert_eq!((base, chat), (None, None)),
        }
        let near: Vec<u32> = detail.neighbours.iter().map(|n| n.id).collect();
        assert_eq!(near, [(latent + 1) % MANY, (latent + 70) % MANY]);
        let twins: Vec<u32> = detail.twins.iter().map(|n| n.near.id).collect();
        let expected: &[u32] = match latent {
            0 | 1_050 => &[1],
            1 => &[0, 1_050],
            63 => &[64],
            64 => &[63],
            _ => &[],
        };
        assert_eq!(twins, expected, "{latent}");
        assert_eq!(detail.shares[0].active_tokens, u64::from(latent));
    }
    assert!(store.latent("a", MANY).is_err());
}

#[test]
fn examples_of_one_source_are_paged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let writer = Writer::replace(&path, "btk").unwrap();
    fill(&writer, &rows(5, 1));
    writer.finish().unwrap();
    let store = Store::open(&path, &ClassCuts::default()).unwrap();
    let all = store.examples("btk", 1, None, None, None).unwrap().examples;
    for source in ["web", "web: 0", "web: 1", "elsewhere"] {
        let mine = all.iter().filter(|e| e.source.starts_with(source));
        let wanted: Vec<u64> = mine.map(|e| e.sequence).collect();
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = store
                .examples_from("btk", 1, None, cursor.as_deref(), Some(1), Some(source))
                .unwrap();
            assert_eq!(page.total, wanted.len() as u64, "{source}");
            found.extend(page.examples.iter().map(|e| e.sequence));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, wanted, "{source}");
    }
}
