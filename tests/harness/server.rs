//! A running `stereoscope serve` and a client for it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The server process; ended when dropped.
pub struct Server {
    child: Child,
    /// For instance `http://127.0.0.1:40123`.
    pub address: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

/// One server-sent event.
#[derive(Clone, Debug)]
pub struct SseEvent {
    /// The event's name.
    pub name: String,
    /// The data line, as JSON.
    pub data: Value,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text()))
    }

    /// Asserts that this is a problem body of the status, and returns its detail.
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        let kind = self.header("content-type").unwrap_or_default();
        assert!(
            kind.starts_with("application/problem+json"),
            "content type {kind:?}: {}",
            self.text()
        );
        let body = self.json();
        assert_eq!(body["status"], status);
        for field in ["type", "title", "detail"] {
            assert!(
                body[field].as_str().is_some_and(|text| !text.is_empty()),
                "{field} is missing: {body}"
            );
        }
        body["detail"].as_str().unwrap_or_default().to_owned()
    }

    /// The body as server-sent events.
    pub fn events(&self) -> Vec<SseEvent> {
        self.text().split("\n\n").filter_map(parse_event).collect()
    }
}

fn parse_event(block: &str) -> Option<SseEvent> {
    let field = |name: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(name).map(str::trim_start))
    };
    Some(SseEvent {
        name: field("event:")?.to_owned(),
        data: serde_json::from_str(field("data:")?).ok()?,
    })
}

impl Server {
    /// Serves a study on a free port and waits until prompts can be run (or until it says that it has no models).
    pub fn start(study: &Path, options: &[&str]) -> Option<Self> {
        let server = Self::start_without_waiting(study, options)?;
        let deadline = Instant::now() + Duration::from_mins(2);
        while server.get("/readyz").status != 200 {
            assert!(
                Instant::now() < deadline,
                "the server did not become ready: {}",
                server.get("/readyz").text()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    /// Serves a study on a free port; the models may still be loading.
    pub fn start_without_waiting(study: &Path, options: &[&str]) -> Option<Self> {
        let program = crate::program()?;
        let mut child = Command::new(program)
            .arg("serve")
            .arg(study)
            .args(["--addr", "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("standard output"));
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(
                lines.read_line(&mut line).expect("a line") > 0,
                "the server ended without an address; it said: {said}"
            );
            said.push_str(&line);
            if let Some(at) = line.find("http://") {
                break line[at..]
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches('/')
                    .to_owned();
            }
        };
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Some(Self { child, address })
    }

    fn agent() -> ureq::Agent {
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_mins(2)))
            .build()
            .into()
    }

    fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
        let mut response = response.expect("an answer");
        let headers = response.headers().iter();
        let headers = headers
            .map(|(n, v)| {
                (
                    n.as_str().to_lowercase(),
                    String::from_utf8_lossy(v.as_bytes()).into_owned(),
                )
            })
            .collect();
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            .limit(256 << 20)
            .read_to_vec()
            .expect("a body");
        Answer {
            status,
            headers,
            body,
        }
    }

    /// GET of a path.
    pub fn get(&self, path: &str) -> Answer {
        Self::answer(Self::agent().get(format!("{}{path}", self.address)).call())
    }

    /// GET with a header.
    pub fn get_with(&self, path: &str, header: &str, value: &str) -> Answer {
        Self::answer(
            Self::agent()
                .get(format!("{}{path}", self.address))
                .header(header, value)
                .call(),
        )
    }

    /// DELETE of a path.
    pub fn delete(&self, path: &str) -> Answer {
        Self::answer(
            Self::agent()
                .delete(format!("{}{path}", self.address))
                .call(),
        )
    }

    /// POST of JSON.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_raw(path, "application/json", body.to_string().as_bytes())
    }

    /// POST of JSON with a header.
    pub fn post_with(&self, path: &str, body: &Value, header: &str, value: &str) -> Answer {
        Self::answer(
            Self::agent()
                .post(format!("{}{path}", self.address))
                .header("content-type", "application/json")
                .header(header, value)
                .send(body.to_string()),
        )
    }

    /// POST of any bytes.
    pub fn post_raw(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        Self::answer(
            Self::agent()
                .post(format!("{}{path}", self.address))
                .header("content-type", content_type)
                .send(body),
        )
    }

    /// Starts a stream, reads the given number of bytes of it, and hangs up.
    pub fn post_and_leave(&self, path: &str, body: &Value, bytes: usize) {
        let request = Self::agent()
            .post(format!("{}{path}", self.address))
            .header("content-type", "application/json");
        let mut response = request.send(body.to_string()).expect("an answer");
        let mut buffer = vec![0; bytes];
        response
            .body_mut()
            .as_reader()
            .read_exact(&mut buffer)
            .expect("the stream's beginning");
    }

    /// A value of `/metrics`, by the line's beginning.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = self.get("/metrics").text();
        text.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.rsplit(' ').next()?.parse().ok())
    }

    /// The server's resident memory, where the system tells it.
    pub fn resident_mb(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes / 1024.0)
    }

    /// Asks the server to end, as a service manager does, and waits.
    pub fn terminate(&mut self) -> ExitStatus {
        let killed = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(killed.success());
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.child.try_wait().expect("a child to wait for") {
                return status;
            }
            assert!(Instant::now() < deadline, "the server did not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
