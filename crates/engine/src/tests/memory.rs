//! What a plan counts, what it refuses, and the base model's upper half on demand.

use std::thread;

use api::ModelName;
use gemma::{Place, When};

use super::*;
use crate::{
    Error,
    activations::ActivationsJob,
    check::{self, check, plan},
    devices::Devices,
    memory::{Choice, Sizes},
};

#[test]
fn a_plan_counts_the_weights_of_the_files() {
    let plan = plan(&options()).unwrap();
    assert!(plan.fits && plan.shortage().is_empty());
    let bytes = |what: &str| -> u64 {
        let parts = plan.parts.iter().filter(|part| part.what.starts_with(what));
        parts.map(|part| part.bytes).sum()
    };
    let stored = |folder: &str| -> u64 {
        let files = std::fs::read_dir(fixtures().join(folder))
            .unwrap()
            .flatten();
        let weights = files.filter(|f| f.path().extension().is_some_and(|x| x == "safetensors"));
        weights.map(|f| f.metadata().unwrap().len()).sum()
    };
    // The files hold the same numbers, and a header each.
    for (what, folder) in [("base model", "base"), ("chat model", "chat")] {
        let (planned, stored) = (bytes(what), stored(folder));
        assert!(
            planned <= stored && stored < planned + 30_000,
            "{what}: {planned} {stored}"
        );
    }
    for slug in ["l1", "batchtopk"] {
        let (planned, stored) = (
            bytes(&format!("dictionary {slug}")),
            stored(&format!("crosscoder-{slug}")),
        );
        assert!(
            planned.abs_diff(stored) < 5_000,
            "{slug}: {planned} {stored}"
        );
    }
    let upper = plan.parts.iter().find(|part| part.when == When::FirstUse);
    assert!(upper.is_some_and(|part| part.what.starts_with("base model after it")));
    assert!(plan.parts.iter().all(|part| part.place == Place::Cpu));
    let all: u64 = plan.parts.iter().map(|part| part.bytes).sum();
    assert_eq!(plan.rooms[0].needed, all);
}

#[test]
fn what_does_not_fit_is_refused_with_the_nearest_that_does() {
    let needed = plan(&options()).unwrap().rooms[0].needed;
    let mut tight = options();
    tight.memory = Some(needed);
    assert!(check(&tight).is_ok());
    tight.memory = Some(1000);
    assert!(!plan(&tight).unwrap().fits);
    let refused = check(&tight).unwrap_err();
    assert!(matches!(refused, Error::Memory { .. }));
    let refused = refused.to_string();
    for part in [
        "needed on cpu",
        "1.0 kB available",
        "--browse-only",
        "--memory",
        "chat model",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
}

#[test]
fn the_nearest_gives_up_as_little_as_it_can() {
    let mut options = options();
    options.limits.prompt_cache = 0;
    let opened = check::open(&options).unwrap();
    // A context as long as the models' own, so that prompts weigh.
    let sizes = Sizes::new(&opened, &options, 8192).unwrap();
    let mut longer = options.clone();
    longer.limits.prompt_tokens = 8192;
    let devices = Devices::open(&options).unwrap();
    let needed = |prompt_tokens: usize| {
        let mut options = options.clone();
        options.limits.prompt_tokens = prompt_tokens;
        sizes.plan(&options, &devices).rooms[0].needed
    };
    for (tokens, flags) in [
        (2048, "--max-prompt-tokens 2048"),
        (1024, "--max-prompt-tokens 1024"),
        (512, "--max-prompt-tokens 512"),
    ] {
        longer.memory = Some(needed(tokens));
        let refused = sizes.check(&longer, &devices).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("start with {flags},")),
            "{refused}"
        );
    }
    let mut keeping = longer.clone();
    keeping.limits.prompt_cache = 1_000_000;
    keeping.memory = Some(needed(8192));
    let refused = sizes.check(&keeping, &devices).unwrap_err().to_string();
    assert!(
        refused.contains("start with --prompt-cache 0,"),
        "{refused}"
    );
    longer.memory = Some(needed(512) - 1);
    let refused = sizes.check(&longer, &devices).unwrap_err().to_string();
    assert!(refused.contains("start with --browse-only"), "{refused}");
}

#[test]
fn a_gpu_that_is_full_is_told_apart_from_the_host() {
    let options = options();
    let opened = check::open(&options).unwrap();
    let sizes = Sizes::new(&opened, &options, 256).unwrap();
    let gpu = Place::Cuda(0);
    let on_gpu = |precision| Choice {
        models: [gpu; 2],
        dictionaries: gpu,
        precision,
        weights: gemma::WeightChoice::Auto,
        prompt_tokens: 256,
        prompt_cache: 0,
    };
    let both = on_gpu(Precision::F32);
    let plan =
        |choice, room: u64| sizes.plan_of(choice, &move |place| (place == gpu).then_some(room));
    let all = plan(&both, 0);
    let there = all.rooms.iter().find(|room| room.place == gpu).unwrap();
    assert!(!all.fits && there.needed > 0);
    let nearest = |room: u64| sizes.nearest(&both, &move |place| (place == gpu).then_some(room));
    // All but a little, the half, almost nothing: bf16 weights, the base model on the host, everything on the host.
    assert_eq!(nearest(there.needed - 1), "--precision bf16");
    let halved = on_gpu(Precision::Bf16);
    let halved = plan(&halved, 0);
    let halved = halved.rooms.iter().find(|room| room.place == gpu).unwrap();
    assert!(halved.needed < there.needed);
    assert_eq!(nearest(0), "--device cpu --precision f32");
}

fn job(kl: bool) -> ActivationsJob {
    let request =
        json!({"dictionary": "l1", "prompt": {"text": "a b c"}, "latents": [3], "kl": kl});
    ActivationsJob::new(&serde_json::from_value(request).unwrap(), pair()).unwrap()
}

#[test]
fn the_bases_upper_half_is_read_when_its_predictions_are_asked_for() {
    let loaded = Pair::load(&options(), &mut |_| ()).unwrap();
    assert_eq!(loaded.resident(), [[true, false], [true, true]]);
    let without = job(false).run(&loaded, &Turns::endless()).unwrap();
    assert_eq!(loaded.resident(), [[true, false], [true, true]]);
    assert_eq!(without.kl_chat_base, None);
    assert!(without.next.iter().all(|next| next.base.is_none()));
    // A lane of the chat model that takes base's residual needs base's lower half alone.
    let ids = conversation(0).1;
    let take = chat(json!([{"kind": "take", "from": "base"}]));
    let plan = compile(&take, "l1", ids.len()).unwrap();
    forced_by(&loaded, loaded.dictionary("l1").unwrap(), &plan, &ids);
    assert_eq!(loaded.resident()[0], [true, false]);

    // Several at once wait for one reading.
    let answers = thread::scope(|scope| {
        let runs: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| job(true).run(&loaded, &Turns::endless())))
            .collect();
        runs.into_iter()
            .map(|run| run.join().unwrap().unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(loaded.resident(), [[true, true], [true, true]]);
    assert_eq!(answers[0], answers[1]);
    assert_eq!(
        answers[0].kl_chat_base.as_ref().unwrap().len(),
        without.tokens.len()
    );
    assert_eq!(
        (&answers[0].top, &answers[0].latents),
        (&without.top, &without.latents)
    );
    for (with, without) in answers[0].next.iter().zip(&without.next) {
        assert_eq!(with.chat, without.chat);
        assert_eq!(with.base.as_ref().unwrap().len(), 5);
    }
    // The same as of a pair that had it from the beginning.
    pair().whole(ModelName::Base).unwrap();
    assert_eq!(
        job(true).run(pair(), &Turns::endless()).unwrap(),
        answers[0]
    );
}

#[test]
fn an_upper_half_that_cannot_be_read_fails_its_requests_alone() {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixtures().join("base"))
        .unwrap()
        .flatten()
    {
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let mut moved = options();
    moved.base = folder.path().into();
    let loaded = Pair::load(&moved, &mut |_| ()).unwrap();
    let (away, back) = (
        folder.path().join("away"),
        folder.path().join("model.safetensors"),
    );
    std::fs::rename(&back, &away).unwrap();
    let refused = job(true)
        .run(&loaded, &Turns::endless())
        .unwrap_err()
        .to_string();
    assert!(refused.contains("model.safetensors"), "{refused}");
    job(false).run(&loaded, &Turns::endless()).unwrap();
    std::fs::rename(&away, &back).unwrap();
    job(true).run(&loaded, &Turns::endless()).unwrap();
}

#[test]
fn devices_are_opened_once_and_each_model_has_its_own() {
    let mut apart = options();
    apart.device = DeviceChoice::Auto;
    apart.model_devices = [Some(DeviceChoice::Cpu), None];
    assert_eq!(apart.device_of(ModelName::Base), DeviceChoice::Cpu);
    assert_eq!(apart.device_of(ModelName::Chat), DeviceChoice::Auto);
    let devices = Devices::open(&apart).unwrap();
    assert!(devices.models[0].is_cpu());
    assert!(devices.models[1].same_device(&devices.dictionaries));
}
