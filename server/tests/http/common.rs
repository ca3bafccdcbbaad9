//! A study over the reference checkpoints, and requests to its router without a socket.

use std::path::{Path, PathBuf};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use serde_json::Value;
use server::{App, Options, router};
use store::{
    ExampleRecord, GroupRecord, HistogramRecord, SequenceRecord, Writer,
    manifest::{DictionaryRef, Manifest, ModelRef},
};
use tower::ServiceExt;

pub(crate) fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures"))
}

pub(crate) fn manifest() -> Manifest {
    let dictionary = |slug: &str| DictionaryRef {
        slug: slug.into(),
        path: Some(fixtures().join(format!("crosscoder-{slug}"))),
        ..DictionaryRef::default()
    };
    let mut manifest = Manifest::new("reference", 2);
    manifest.base = Some(ModelRef::folder(fixtures().join("base")));
    manifest.chat = Some(ModelRef::folder(fixtures().join("chat")));
    manifest.dictionaries = vec![dictionary("l1"), dictionary("batchtopk")];
    manifest
}

/// A study folder with this manifest.
pub(crate) fn study(manifest: &Manifest) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    manifest.write(dir.path()).unwrap();
    dir
}

/// Analyses the dictionary `batchtopk` by invention: latent 3 fires on one sequence.
pub(crate) fn analyse(study: &Path) {
    let cuts = api::ClassCuts::default();
    let mut rows = engine::weight_rows(&fixtures().join("crosscoder-batchtopk"), &cuts).unwrap();
    for row in &mut rows {
        let fires = row.id == 3;
        row.dead = Some(!fires);
        row.tokens = Some(100);
        row.active_tokens = Some(if fires { 2 } else { 0 });
        row.frequency = Some(if fires { 0.02 } else { 0.0 });
        row.max_activation = Some(if fires { 2.5 } else { 0.0 });
        row.mean_activation = fires.then_some(2.0);
    }
    let writer = Writer::replace(&study.join(store::DATABASE), "batchtopk").unwrap();
    writer.set_latents(&rows).unwrap();
    writer
        .set_histograms([HistogramRecord {
            latent: 3,
            histogram: [1.5, 2.5].into_iter().collect(),
        }])
        .unwrap();
    writer
        .set_tokens([(6, "<bos>".to_owned()), (300, "a".to_owned())])
        .unwrap();
    writer
        .set_examples(
            "invented",
            &[SequenceRecord {
                sequence: 0,
                source: "invented".into(),
                tokens: vec![6, 300],
                kinds: vec![api::TokenKind::Bos, api::TokenKind::Content],
            }],
            [ExampleRecord {
                latent: 3,
                group: 5,
                sequence: 0,
                positions: vec![1],
                values: vec![2.5],
            }],
            [GroupRecord {
                latent: 3,
                group: api::ExampleGroup {
                    group: 5,
                    from: 2.0,
                    to: 2.5,
                    examples: 1,
                    sequences: 1,
                },
            }],
        )
        .unwrap();
    writer.finish().unwrap();
}

/// A router over a study, with its models loaded where it has some.
pub(crate) struct Site {
    pub(crate) app: App,
    pub(crate) router: Router,
    /// Kept while the study is open.
    _dir: tempfile::TempDir,
}

pub(crate) fn options(study: &Path) -> Options {
    Options {
        device: server::DeviceChoice::Cpu,
        ..Options::new(study)
    }
}

impl Site {
    /// The reference study, not analysed.
    pub(crate) async fn new() -> Self {
        Self::of(study(&manifest()), |_| ()).await
    }

    /// The reference study, one dictionary analysed.
    pub(crate) async fn analysed() -> Self {
        let dir = study(&manifest());
        analyse(dir.path());
        Self::of(dir, |_| ()).await
    }

    pub(crate) async fn of(dir: tempfile::TempDir, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = options(dir.path());
        change(&mut options);
        let app = App::open(&options).unwrap();
        if app.absent().is_none() {
            app.ready().await.unwrap();
        }
        Self::over(app, dir)
    }

    pub(crate) fn over(app: App, dir: tempfile::TempDir) -> Self {
        Self {
            router: router(app.clone()),
            app,
            _dir: dir,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.method(Method::GET, path).await
    }

    pub(crate) async fn method(&self, method: Method, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_raw(path, Some("application/json"), body.to_string())
            .await
    }

    pub(crate) async fn post_raw(
        &self,
        path: &str,
        kind: Option<&str>,
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(Method::POST).uri(path);
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        self.send(request.body(body.into()).unwrap()).await
    }
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Asserts a problem body of this status and type, and returns its detail.
    pub(crate) fn problem(&self, status: u16, kind: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], format!("/problems/{kind}"), "{body}");
        assert!(!body["title"].as_str().unwrap().is_empty());
        let detail = body["detail"].as_str().unwrap();
        assert!(!detail.is_empty());
        detail.to_owned()
    }

    /// The body as (event, data) pairs; comments are left out.
    pub(crate) fn events(&self) -> Vec<(String, Value)> {
        let text = self.text();
        let blocks = text.split("\n\n").filter(|b| b.contains("event:"));
        blocks
            .map(|block| {
                let field = |name: &str| {
                    let mut lines = block.lines().filter_map(|l| l.strip_prefix(name));
                    let value = lines.next().unwrap().trim_start().to_owned();
                    assert!(lines.next().is_none(), "one line of {name}: {block}");
                    value
                };
                (
                    field("event:"),
                    serde_json::from_str(&field("data:")).unwrap(),
                )
            })
            .collect()
    }
}
