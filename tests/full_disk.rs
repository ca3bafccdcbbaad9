//! A disk that is full when a run is saved: the reader is told, what was saved stays readable, and room brings saving back.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use harness::{Server, fixture_study};
use serde_json::{Value, json};

/// A disk of two megabytes in a folder of its own; it goes when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this process may not mount one.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(folder.path())
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        println!("skipped: no small disk can be mounted here");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room that is left, by a file that gives it back when deleted.
    fn fill(&self) -> std::path::PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).expect("a file");
        while file.write_all(&[1; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

fn body(seed: u64) -> Value {
    json!({"dictionary": "l1", "prompt": {"text": "hi"}, "lanes": [{"model": "chat"}],
        "sampling": {"max_new_tokens": 100, "temperature": 1.5, "seed": seed}})
}

#[test]
fn a_full_disk_is_told_and_harms_nothing_saved() {
    let Some(disk) = SmallDisk::new() else { return };
    let study = fixture_study();
    let file = disk.path().join("runs.duckdb");
    let options = ["--runs", file.to_str().expect("a path in UTF-8")];
    let Some(mut server) = Server::start(study.path(), &options) else {
        return;
    };
    let saved = server.post("/api/v1/runs", &body(0));
    assert_eq!(saved.status, 201, "{}", saved.text());
    let place = saved.header("location").expect("a place").to_owned();

    let filler = disk.fill();
    // What DuckDB set aside in the file may still hold a few.
    let refused = (1..200).find_map(|seed| {
        let answer = server.post("/api/v1/runs", &body(seed));
        (answer.status != 201).then_some(answer)
    });
    let detail = refused.expect("a full disk").problem(507);
    for part in ["runs.duckdb", "No space left", "make room", "--runs"] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    let unharmed = |server: &Server| {
        assert_eq!(server.get(&place).json(), saved.json());
        assert_eq!(server.get("/api/v1/study").status, 200);
        assert_eq!(server.get("/healthz").status, 200);
    };
    unharmed(&server);
    // Again, and with prompts that are not saved.
    server.post("/api/v1/runs", &body(1000)).problem(507);
    assert_eq!(server.post("/api/v1/generate", &body(1)).status, 200);
    unharmed(&server);

    // Another start finds the disk still full.
    assert!(server.terminate().success());
    let server = Server::start(study.path(), &options).expect("a server");
    unharmed(&server);
    server.post("/api/v1/runs", &body(1000)).problem(507);

    std::fs::remove_file(filler).expect("a file to delete");
    let saved = server.post("/api/v1/runs", &body(1000));
    assert_eq!(saved.status, 201, "{}", saved.text());
    unharmed(&server);
}
