//! Models and dictionaries of the hub: fetched, resumed, checked, refused by name, and used without a network.

use std::path::PathBuf;
use std::process::{Command, Output};

use harness::{COMMIT, Hub, fixture_study, fixtures, said};
use serde_json::Value;
use tempfile::TempDir;

/// A hub with the reference checkpoints, the chat model's in several files, and a place for a cache.
struct Setup {
    hub: Hub,
    home: TempDir,
    program: PathBuf,
}

impl Setup {
    fn new() -> Option<Self> {
        let setup = Self {
            hub: Hub::start(),
            home: tempfile::tempdir().expect("a folder"),
            program: harness::program()?,
        };
        let hub = &setup.hub;
        hub.publish("tiny/base", &fixtures().join("base"));
        hub.publish("tiny/chat", &fixtures().join("chat"));
        hub.publish("tiny/crosscoder", &fixtures().join("crosscoder-l1"));
        for surplus in ["README.md", "pytorch_model.bin"] {
            hub.publish_file("tiny/base", surplus, vec![1; 10]);
        }
        Some(setup)
    }

    fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        Command::new(&self.program)
            .args(arguments)
            .env_remove("HF_TOKEN")
            .env_remove("HF_HUB_CACHE")
            .env("HF_HOME", self.home.path())
            .env("HF_ENDPOINT", &self.hub.address)
            .envs(environment.iter().copied())
            .output()
            .expect("the program starts")
    }

    fn study(&self) -> String {
        self.home
            .path()
            .join("study")
            .to_string_lossy()
            .into_owned()
    }

    fn init(&self, base: &str, environment: &[(&str, &str)]) -> Output {
        let study = self.study();
        let arguments = [
            "init",
            &study,
            "--force",
            "--base",
            base,
            "--chat",
            "hub:tiny/chat@main",
            "--layer",
            "2",
            "--dictionary",
            "l1=hub:tiny/crosscoder",
        ];
        self.run(&arguments, environment)
    }

    /// Why a base model cannot be had.
    fn refusal(&self, base: &str, environment: &[(&str, &str)]) -> String {
        let output = self.init(base, environment);
        assert!(!output.status.success(), "{}", said(&output));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn activations(&self, options: &[&str]) -> Output {
        let study = self.study();
        let mut arguments = vec![
            "activations",
            &study,
            "--dictionary",
            "l1",
            "--text",
            "a b c",
        ];
        arguments.extend(options);
        self.run(&arguments, &[])
    }

    /// The places from which a file's bytes were asked for.
    fn starts(&self, file: &str) -> Vec<usize> {
        let stored = |path: &str| path.starts_with("/stored/") && path.ends_with(file);
        let requests = self.hub.requests();
        let asked = requests.iter().filter(|r| stored(&r.path));
        asked.filter_map(|request| request.from).collect()
    }
}

#[test]
fn a_pair_of_the_hub_is_the_pair_in_folders_and_needs_no_network_twice() {
    let Some(setup) = Setup::new() else { return };
    let output = setup.init("hub:tiny/base", &[("HF_TOKEN", "hf_secret")]);
    assert!(output.status.success(), "{}", said(&output));
    let requests = setup.hub.requests();
    assert!(requests.iter().any(|r| r.path.ends_with("tokenizer.json")));
    for surplus in ["README.md", "pytorch_model.bin"] {
        assert!(!requests.iter().any(|r| r.path.ends_with(surplus)));
    }
    let told = |r: &harness::HubRequest| r.authorization.as_deref() == Some("Bearer hf_secret");
    assert!(requests.iter().all(told), "{requests:?}");
    let manifest = std::fs::read_to_string(setup.home.path().join("study/study.toml")).unwrap();
    for part in [
        "hub = \"tiny/base\"".to_owned(),
        format!("revision = \"{COMMIT}\""),
        "revision = \"main\"".to_owned(),
        "hub = \"tiny/crosscoder\"".to_owned(),
    ] {
        assert!(manifest.contains(&part), "{manifest}");
    }
    assert!(!manifest.contains("path ="), "{manifest}");

    let online = setup.activations(&[]);
    assert!(online.status.success(), "{}", said(&online));
    let local = fixture_study();
    let folder = local.path().to_string_lossy().into_owned();
    let local = setup.run(
        &[
            "activations",
            &folder,
            "--dictionary",
            "l1",
            "--text",
            "a b c",
        ],
        &[],
    );
    assert!(local.status.success(), "{}", said(&local));
    assert_eq!(online.stdout, local.stdout);
    // Only the branch was looked up.
    let asked: Vec<String> = setup.hub.requests().into_iter().map(|r| r.path).collect();
    assert_eq!(asked, ["/api/models/tiny/chat/revision/main"]);

    let offline = setup.activations(&["--offline"]);
    assert!(setup.hub.requests().is_empty());
    assert_eq!(offline.stdout, local.stdout);
    setup.hub.close();
    let alone = setup.activations(&[]);
    assert_eq!(alone.stdout, local.stdout);
    assert!(said(&alone).contains("taken from the cache"));
}

#[test]
fn a_download_goes_on_where_it_broke_off() {
    let Some(setup) = Setup::new() else { return };
    let file = "model.safetensors";
    setup.hub.cut(file, &[100_000, 50_000]);
    let output = setup.init("hub:tiny/base", &[]);
    assert!(output.status.success(), "{}", said(&output));
    let starts = setup.starts(file);
    assert_eq!(&starts[..3], [0, 100_000, 150_000]);
    let blob = setup
        .home
        .path()
        .join("hub/models--tiny--base/snapshots")
        .join(COMMIT)
        .join(file);
    assert_eq!(
        std::fs::read(blob).unwrap(),
        std::fs::read(fixtures().join("base").join(file)).unwrap()
    );
}

#[test]
fn a_download_that_breaks_for_good_is_kept_for_the_next_run() {
    let Some(setup) = Setup::new() else { return };
    let file = "model.safetensors";
    setup.hub.cut(file, &[200_000, 0, 0, 0]);
    let refused = setup.refusal("hub:tiny/base", &[]);
    for part in [
        "model.safetensors of hub:tiny/base",
        "200000 bytes",
        "goes on from there",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    let study = setup.home.path().join("study/study.toml");
    assert!(!study.exists());
    setup.hub.cut(file, &[]);
    setup.hub.requests();
    let output = setup.init("hub:tiny/base", &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(setup.starts(file)[0], 200_000);
    assert!(study.exists());
}

#[test]
fn a_full_disk_is_told_before_a_file_is_begun() {
    let Some(setup) = Setup::new() else { return };
    // A cache on a disk in memory, in a name space of its own, where the system lets one be made.
    let cache = setup.home.path().join("small");
    std::fs::create_dir(&cache).unwrap();
    let arguments = ["init", &setup.study(), "--base", "hub:tiny/base"];
    let mount = "mount -t tmpfs -o size=200k tmpfs \"$HF_HUB_CACHE\"";
    let run = |script: &str| {
        Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(&setup.program)
            .args(arguments)
            .args(["--chat", "hub:tiny/chat", "--layer", "2"])
            .env_remove("HF_TOKEN")
            .env("HF_HUB_CACHE", &cache)
            .env("HF_ENDPOINT", &setup.hub.address)
            .output()
    };
    if !run(mount).is_ok_and(|run| run.status.success()) {
        eprintln!("skipped: the system lets nobody mount a small disk");
        return;
    }
    let output = run(&format!("{mount} && exec \"$0\" \"$@\"")).expect("the program starts");
    assert!(!output.status.success(), "{}", said(&output));
    let refused = said(&output);
    for part in [
        "model.safetensors of hub:tiny/base needs",
        "more bytes",
        "make room",
        "HF_HOME",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    assert_eq!(setup.starts("model.safetensors"), [0; 0], "{refused}");
    assert!(!setup.home.path().join("study/study.toml").exists());
}

#[test]
fn what_arrives_damaged_is_removed() {
    let Some(setup) = Setup::new() else { return };
    for (file, hash) in [
        ("config.json", "Git hash"),
        ("model.safetensors", "SHA-256"),
    ] {
        setup.hub.alter(file, true);
        let refused = setup.refusal("hub:tiny/base", &[]);
        let name = format!("{file} of hub:tiny/base");
        for part in [name.as_str(), "damaged", hash, "removed"] {
            assert!(refused.contains(part), "{refused}");
        }
        setup.hub.alter(file, false);
    }
    let output = setup.init("hub:tiny/base", &[]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn what_the_hub_refuses_is_named_with_its_remedy() {
    let Some(setup) = Setup::new() else { return };
    let base = "hub:tiny/base";
    let token = [("HF_TOKEN", "hf_wrong")];
    for (status, environment, parts) in [
        (
            401,
            &[][..],
            &["HF_TOKEN", "gated, private, or does not exist"][..],
        ),
        (
            401,
            &token,
            &["does not accept the token", "settings/tokens"],
        ),
        (403, &token, &["accept its terms", "/tiny/base"]),
        (
            404,
            &[],
            &["no such repository or revision", "check its name"],
        ),
        (500, &[], &["status 500", "later"]),
    ] {
        setup.hub.refuse("tiny/base", status);
        let refused = setup.refusal(base, environment);
        assert!(refused.contains(base), "{refused}");
        assert!(!refused.contains("hf_wrong"), "{refused}");
        for part in parts {
            assert!(refused.contains(part), "{status}: {refused}");
        }
    }
    let refused = setup.refusal("hub:tiny/chat@gone", &[]);
    assert!(refused.contains("hub:tiny/chat@gone"), "{refused}");
    let refused = setup.refusal("hub:tiny/none", &[]);
    assert!(refused.contains("hub:tiny/none"), "{refused}");
    let refused = setup.refusal("hub:../up", &[]);
    assert!(refused.contains("not a repository"), "{refused}");
    setup
        .hub
        .publish_file("tiny/old", "config.json", b"{}".to_vec());
    setup
        .hub
        .publish_file("tiny/old", "pytorch_model.bin", vec![1]);
    let refused = setup.refusal("hub:tiny/old", &[]);
    assert!(refused.contains("has no model.safetensors"), "{refused}");
}

#[test]
fn without_network_or_cache_the_reason_is_told() {
    let Some(setup) = Setup::new() else { return };
    let refused = setup.refusal("hub:tiny/base", &[("HF_HUB_OFFLINE", "1")]);
    for part in ["hub:tiny/base", "config.json is missing", "--offline"] {
        assert!(refused.contains(part), "{refused}");
    }
    assert!(setup.hub.requests().is_empty());
    let nobody = [("HF_ENDPOINT", "http://127.0.0.1:1")];
    let refused = setup.refusal("hub:tiny/base", &nobody);
    for part in [
        "http://127.0.0.1:1 cannot be reached",
        "hub:tiny/base",
        "network",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    // A study that names the hub, on a machine that has never seen it.
    let study = setup.home.path().join("study");
    std::fs::create_dir(&study).unwrap();
    let manifest =
        "name = \"s\"\nlayer = 2\n[base]\nhub = \"tiny/base\"\n[chat]\nhub = \"tiny/chat\"\n";
    std::fs::write(study.join("study.toml"), manifest).unwrap();
    let output = setup.run(
        &[
            "serve",
            &setup.study(),
            "--addr",
            "127.0.0.1:0",
            "--offline",
        ],
        &[],
    );
    assert!(!output.status.success());
    assert!(
        said(&output).contains("hub:tiny/base is not whole"),
        "{}",
        said(&output)
    );
}

#[test]
fn json_lines_tell_the_download() {
    let Some(setup) = Setup::new() else { return };
    let study = setup.study();
    let output = setup.run(
        &[
            "init",
            &study,
            "--base",
            "hub:tiny/base",
            "--chat",
            "hub:tiny/chat",
            "--layer",
            "2",
            "--json",
        ],
        &[],
    );
    assert!(output.status.success(), "{}", said(&output));
    let lines: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let size = std::fs::metadata(fixtures().join("base/model.safetensors"))
        .unwrap()
        .len();
    let whole =
        |line: &&Value| line["step"] == "fetch" && line["unit"] == "bytes" && line["done"] == size;
    let line = lines.iter().find(whole).expect("the weights' last line");
    assert_eq!(line["total"], size);
    assert_eq!(lines.last().expect("a summary")["event"], "summary");
}
