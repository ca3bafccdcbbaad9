//! A hub on a free port: repositories of files, as huggingface.co serves them, with the faults that a test asks for.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The commit of every repository.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// Files from this size on are stored apart, as the hub stores large files.
const LARGE: usize = 32 << 10;

/// A hub; it goes on answering until the test ends, unless it is closed.
#[derive(Clone)]
pub struct Hub {
    /// For instance `http://127.0.0.1:40123`.
    pub address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    repositories: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    requests: Vec<HubRequest>,
    /// Status of every answer about a repository.
    refused: BTreeMap<String, u16>,
    /// Breaks of connections to come: how many bytes of a file are sent before each.
    cuts: BTreeMap<String, Vec<usize>>,
    /// Files that are sent with a byte changed.
    altered: Vec<String>,
    closed: bool,
}

/// A request that a hub has had.
#[derive(Clone, Debug)]
pub struct HubRequest {
    /// The path.
    pub path: String,
    /// First byte asked for, where the request has a range without an end.
    pub from: Option<usize>,
    /// The authorization header.
    pub authorization: Option<String>,
}

impl Hub {
    /// Listens, without repositories.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(State::default()));
        let hub = Self { address, state };
        let theirs = hub.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hub = theirs.clone();
                // A client that leaves early is no fault.
                std::thread::spawn(move || hub.answer(stream).ok());
            }
        });
        hub
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().expect("the state"))
    }

    /// Publishes every file of a folder.
    pub fn publish(&self, repository: &str, folder: &Path) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let bytes = std::fs::read(entry.path()).expect("a file");
            self.publish_file(repository, &entry.file_name().to_string_lossy(), bytes);
        }
    }

    /// Publishes a file.
    pub fn publish_file(&self, repository: &str, file: &str, bytes: Vec<u8>) {
        self.with(|state| {
            let files = state.repositories.entry(repository.into()).or_default();
            files.insert(file.into(), bytes);
        });
    }

    /// Answers everything about a repository with a status.
    pub fn refuse(&self, repository: &str, status: u16) {
        self.with(|state| state.refused.insert(repository.into(), status));
    }

    /// Breaks the next connections that send a file, each after so many bytes.
    pub fn cut(&self, file: &str, after: &[usize]) {
        self.with(|state| state.cuts.insert(file.into(), after.to_vec()));
    }

    /// Sends a file with a byte changed, or as it is again.
    pub fn alter(&self, file: &str, altered: bool) {
        self.with(|state| {
            state.altered.retain(|name| name != file);
            if altered {
                state.altered.push(file.into());
            }
        });
    }

    /// Answers nobody any more.
    pub fn close(&self) {
        self.with(|state| state.closed = true);
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<HubRequest> {
        self.with(|state| std::mem::take(&mut state.requests))
    }

    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        if self.with(|state| state.closed) {
            return Ok(());
        }
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut range, mut authorization) = (None, None);
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? <= 2 {
                break;
            }
            let (name, value) = header.split_once(':').unwrap_or_default();
            match name.to_lowercase().as_str() {
                "range" => range = value.trim().strip_prefix("bytes=").map(str::to_owned),
                "authorization" => authorization = Some(value.trim().to_owned()),
                _ => (),
            }
        }
        let (from, to) = match range.as_deref().and_then(|range| range.split_once('-')) {
            Some((from, to)) => (from.parse().unwrap_or(0), to.parse::<usize>().ok()),
            None => (0, None),
        };
        self.with(|state| {
            state.requests.push(HubRequest {
                path: path.clone(),
                from: (range.is_some() && to.is_none()).then_some(from),
                authorization,
            });
        });
        self.respond(stream, &path, from, to)
    }

    fn respond(
        &self,
        mut stream: TcpStream,
        path: &str,
        from: usize,
        to: Option<usize>,
    ) -> std::io::Result<()> {
        let found = self.with(|state| {
            for (repository, files) in &state.repositories {
                let about = [
                    format!("/api/models/{repository}/revision/"),
                    format!("/{repository}/resolve/"),
                    format!("/stored/{repository}/"),
                ];
                let Some((kind, rest)) = (0..)
                    .zip(&about)
                    .find_map(|(kind, start)| Some((kind, path.strip_prefix(start)?)))
                else {
                    continue;
                };
                if let Some(status) = state.refused.get(repository) {
                    return Err(*status);
                }
                let (revision, file) = rest.split_once('/').unwrap_or((rest, ""));
                if kind == 0 {
                    if ![COMMIT, "main"].contains(&revision) {
                        return Err(404);
                    }
                    let files: Vec<String> = files
                        .keys()
                        .map(|f| format!("{{\"rfilename\":{f:?}}}"))
                        .collect();
                    let json = format!("{{\"sha\":{COMMIT:?},\"siblings\":[{}]}}", files.join(","));
                    return Ok((json.into_bytes(), "description".to_owned(), None, None));
                }
                let bytes = files.get(file).ok_or(404u16)?.clone();
                let elsewhere = (kind == 1 && bytes.len() >= LARGE)
                    .then(|| format!("{}/stored/{repository}/{revision}/{file}", self.address));
                let etag = if bytes.len() < LARGE {
                    let git = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
                    format!("{:x}", git.chain_update(&bytes).finalize())
                } else {
                    format!("{:x}", Sha256::digest(&bytes))
                };
                let mut bytes = bytes;
                if state.altered.iter().any(|name| name == file) {
                    let last = bytes.len() - 1;
                    bytes[last] ^= 1;
                }
                let cuts = state.cuts.get_mut(file);
                // Asking for the size alone breaks nothing.
                let cut =
                    cuts.filter(|cuts| elsewhere.is_none() && to.is_none() && !cuts.is_empty());
                return Ok((bytes, etag, elsewhere, cut.map(|cuts| cuts.remove(0))));
            }
            Err(404)
        });
        let head = |status: &str, rest: &str| {
            format!("HTTP/1.1 {status}\r\nconnection: close\r\n{rest}\r\n")
        };
        let (bytes, etag, elsewhere, cut) = match found {
            Ok(found) => found,
            Err(status) => {
                let text = head(&format!("{status} Refused"), "content-length: 0\r\n");
                return stream.write_all(text.as_bytes());
            }
        };
        let about = format!("etag: \"{etag}\"\r\nx-repo-commit: {COMMIT}\r\n");
        if let Some(place) = elsewhere {
            let rest = format!(
                "{about}x-linked-etag: \"{etag}\"\r\nlocation: {place}\r\ncontent-length: 0\r\n"
            );
            return stream.write_all(head("302 Found", &rest).as_bytes());
        }
        let end = to.map_or(bytes.len(), |to| (to + 1).min(bytes.len()));
        if from >= end {
            let text = head("416 Range Not Satisfiable", "content-length: 0\r\n");
            return stream.write_all(text.as_bytes());
        }
        let part = &bytes[from..end];
        let rest = format!(
            "{about}content-type: application/json\r\ncontent-length: {}\r\ncontent-range: bytes {from}-{}/{}\r\n",
            part.len(),
            end - 1,
            bytes.len()
        );
        stream.write_all(head("206 Partial Content", &rest).as_bytes())?;
        stream.write_all(&part[..cut.unwrap_or(part.len()).min(part.len())])
    }
}
