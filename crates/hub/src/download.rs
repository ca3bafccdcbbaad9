//! Fetches a repository's needed files into the cache: resumed where a download broke off, and checked when they are there.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, Metadata};
use hf_hub::{Cache, Repo, RepoType};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::contents::{INDEX, WEIGHTS, shards};
use crate::{Content, Error, Reference, Result, Settings, Watch};

/// Attempts in a row that bring no byte, after which a download gives up.
const ATTEMPTS: u32 = 3;
/// Digits of the SHA-256 that names a large file.
const LARGE_DIGITS: usize = 64;
/// Digits of the hash that Git gives a small one.
const SMALL_DIGITS: usize = 40;
/// Bytes hashed at a time.
const CHUNK: usize = 1 << 20;

/// The folder of the repository's snapshot at the hub, or, where the hub cannot be reached, `whole` from the cache.
pub(crate) fn get(
    reference: &Reference,
    content: Content,
    settings: &Settings,
    whole: Option<PathBuf>,
    watch: &mut dyn Watch,
) -> Result<PathBuf> {
    let client = Client::new(reference, settings)?;
    let info = match (client.repository(reference.revision()).info(), whole) {
        (Ok(info), _) => info,
        (Err(error), Some(folder)) if unreachable(&error) => {
            watch.say(&format!(
                "{} cannot be reached; {reference} is taken from the cache, commit {}",
                settings.endpoint,
                Settings::commit(&folder).unwrap_or_default()
            ));
            return Ok(folder);
        }
        (Err(error), _) => return Err(client.explain(error, None)),
    };
    let plain = |c: char| c.is_ascii_alphanumeric();
    if info.sha.is_empty() || !info.sha.chars().all(plain) {
        return Err(client.answer("its description", "the commit is no hash"));
    }
    let files: BTreeSet<String> = info.siblings.into_iter().map(|f| f.rfilename).collect();
    let lacks = |file: &str| Error::Contents {
        reference: reference.clone(),
        missing: file.into(),
    };
    if !files.contains(content.first()) {
        return Err(lacks(content.first()));
    }
    let mut snapshot = Snapshot {
        client: &client,
        commit: info.sha,
        watch,
    };
    for file in content.beside() {
        if files.contains(*file) {
            snapshot.fetch(file)?;
        }
    }
    if files.contains(WEIGHTS) {
        snapshot.fetch(WEIGHTS)?;
    } else if content == Content::Model && files.contains(INDEX) {
        let index = snapshot.fetch(INDEX)?;
        let bytes = fs::read(&index).map_err(|e| client.cannot_keep(INDEX, &e))?;
        let named = shards(&bytes)
            .ok_or_else(|| client.answer(INDEX, "it does not say which file holds which tensor"))?;
        for file in named {
            snapshot.fetch(&file)?;
        }
    } else {
        return Err(lacks(WEIGHTS));
    }
    let commit = snapshot.commit;
    // The branch's name leads to the commit only now that all of it is there.
    let cached = client.cache.repo(client.at(reference.revision()));
    cached
        .create_ref(&commit)
        .map_err(|e| client.cannot_keep("its revision", &e))?;
    Ok(cached.pointer_path(&commit))
}

/// A repository as the hub has it.
struct Client<'a> {
    reference: &'a Reference,
    settings: &'a Settings,
    api: Api,
    cache: Cache,
}

/// One commit on its way to the cache.
struct Snapshot<'a> {
    client: &'a Client<'a>,
    commit: String,
    watch: &'a mut dyn Watch,
}

impl<'a> Client<'a> {
    fn new(reference: &'a Reference, settings: &'a Settings) -> Result<Self> {
        let cache = Cache::new(settings.cache.clone());
        let api = ApiBuilder::from_cache(cache.clone())
            .with_endpoint(settings.endpoint.clone())
            .with_token(settings.token.clone())
            .with_user_agent("stereoscope", env!("CARGO_PKG_VERSION"))
            .with_progress(false)
            .build();
        let api = api.map_err(|error| Error::Network {
            endpoint: settings.endpoint.clone(),
            reference: reference.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            reference,
            settings,
            api,
            cache,
        })
    }

    fn at(&self, revision: &str) -> Repo {
        Repo::with_revision(self.reference.id().into(), RepoType::Model, revision.into())
    }

    fn repository(&self, revision: &str) -> hf_hub::api::sync::ApiRepo {
        self.api.repo(self.at(revision))
    }

    fn answer(&self, file: &str, reason: impl Into<String>) -> Error {
        Error::Answer {
            endpoint: self.settings.endpoint.clone(),
            reference: self.reference.clone(),
            file: file.into(),
            reason: reason.into(),
        }
    }

    fn cannot_keep(&self, file: &str, error: &io::Error) -> Error {
        Error::Cache {
            reference: self.reference.clone(),
            file: file.into(),
            cache: self.settings.cache.clone(),
            reason: error.to_string(),
        }
    }

    fn full(&self, file: &str, needed: u64) -> Error {
        Error::Full {
            reference: self.reference.clone(),
            file: file.into(),
            needed,
            cache: self.settings.cache.clone(),
        }
    }

    fn damaged(&self, file: &str, problem: String) -> Error {
        Error::Damaged {
            reference: self.reference.clone(),
            file: file.into(),
            problem,
        }
    }

    /// A failed request as a sentence; `file` is `None` for the repository's description.
    fn explain(&self, error: ApiError, file: Option<&str>) -> Error {
        let endpoint = self.settings.endpoint.clone();
        let reference = self.reference.clone();
        let shown = file.unwrap_or("the description").to_owned();
        match error {
            ApiError::RequestError(error) => match *error {
                ureq::Error::StatusCode(401) if self.settings.token.is_some() => {
                    Error::WrongToken {
                        endpoint,
                        reference,
                    }
                }
                ureq::Error::StatusCode(401) => Error::NoToken {
                    endpoint,
                    reference,
                },
                ureq::Error::StatusCode(403) => Error::Gated {
                    endpoint,
                    reference,
                },
                ureq::Error::StatusCode(404) => Error::NotFound {
                    endpoint,
                    reference,
                    what: file.unwrap_or("such repository or revision").into(),
                },
                ureq::Error::StatusCode(status) => Error::Status {
                    endpoint,
                    reference,
                    file: shown,
                    status,
                },
                ureq::Error::Json(error) => self.answer(&shown, error.to_string()),
                error => Error::Network {
                    endpoint,
                    reference,
                    reason: error.to_string(),
                },
            },
            ApiError::LockAcquisition(_) => Error::Busy {
                reference,
                file: shown,
            },
            ApiError::IoError(error) if error.kind() == ErrorKind::StorageFull => {
                self.full(&shown, 1)
            }
            ApiError::IoError(error) => self.cannot_keep(&shown, &error),
            error => self.answer(&shown, error.to_string()),
        }
    }
}

impl Snapshot<'_> {
    /// One file of the commit; at once where the cache has it.
    fn fetch(&mut self, file: &str) -> Result<PathBuf> {
        let client = self.client;
        let cached = client.cache.repo(client.at(&self.commit));
        let pointer = cached.pointer_path(&self.commit).join(file);
        if pointer.is_file() {
            return Ok(pointer);
        }
        let (mut failures, mut kept) = (0, 0);
        while let Some(broken) = self.attempt(file, &pointer)? {
            failures = if broken.done > kept { 1 } else { failures + 1 };
            kept = broken.done.max(kept);
            if failures >= ATTEMPTS {
                return Err(Error::Interrupted {
                    reference: client.reference.clone(),
                    file: file.into(),
                    done: kept,
                    reason: broken.error.to_string(),
                });
            }
            thread::sleep(Duration::from_secs(u64::from(failures)));
        }
        Ok(pointer)
    }

    /// Tries once to bring a file to its place; gives how the connection broke off, if that is all that went wrong.
    fn attempt(&mut self, file: &str, pointer: &Path) -> Result<Option<Broken>> {
        let client = self.client;
        let broken = |error: ApiError, done: u64| {
            if transient(&error) {
                Ok(Some(Broken { error, done }))
            } else {
                Err(client.explain(error, Some(file)))
            }
        };
        let remote = client.repository(&self.commit);
        let found = match client.api.metadata(&remote.url(file)) {
            Ok(found) => found,
            Err(error) => return broken(error, 0),
        };
        let blob = client
            .cache
            .repo(client.at(&self.commit))
            .blob_path(found.etag());
        let places = Places {
            unfinished: blob.with_extension("part"),
            blob,
            found,
        };
        if client.prepare(file, &places, pointer)? {
            return Ok(None);
        }
        let meter = Meter {
            watch: &mut *self.watch,
            file,
            bytes: 0,
            done: None,
        };
        if let Err(error) = remote.download_with_progress(file, meter) {
            return broken(error, length(&places.unfinished));
        }
        client.check(file, &places, pointer)?;
        self.watch.end(file, places.found.size() as u64);
        Ok(None)
    }
}

/// A download whose connection broke off.
struct Broken {
    error: ApiError,
    /// Bytes that are there.
    done: u64,
}

/// A file of the hub and its places in the cache.
struct Places {
    found: Metadata,
    blob: PathBuf,
    unfinished: PathBuf,
}

impl Client<'_> {
    /// Makes the cache fit for a download: what broke off stays, what cannot be gone on with goes. Says whether none is needed, since
    /// another commit has the same file.
    fn prepare(&self, file: &str, places: &Places, pointer: &Path) -> Result<bool> {
        let cannot_keep = |e: io::Error| self.cannot_keep(file, &e);
        let size = places.found.size() as u64;
        if places.blob.is_file() && length(&places.blob) == size {
            if let Some(folder) = pointer.parent() {
                fs::create_dir_all(folder).map_err(cannot_keep)?;
            }
            return link(&places.blob, pointer)
                .map(|()| true)
                .map_err(cannot_keep);
        }
        let done = length(&places.unfinished);
        if done > size {
            fs::remove_file(&places.unfinished).map_err(cannot_keep)?;
        } else if done == size && done > 0 {
            // It broke off just before it was given its name; the hub cannot be asked for nothing, so its last byte is asked for again.
            let file = OpenOptions::new().write(true).open(&places.unfinished);
            file.and_then(|file| file.set_len(size - 1))
                .map_err(cannot_keep)?;
        }
        fs::create_dir_all(&self.settings.cache).map_err(cannot_keep)?;
        let needed = size.saturating_sub(length(&places.unfinished));
        match fs4::available_space(&self.settings.cache) {
            Ok(free) if free < needed => Err(self.full(file, needed - free)),
            _ => Ok(false),
        }
    }

    /// Holds a file that has arrived against its size and, where its name is one, its hash; a wrong one is removed.
    fn check(&self, file: &str, places: &Places, pointer: &Path) -> Result<()> {
        let (size, etag) = (places.found.size() as u64, places.found.etag());
        let found = length(&places.blob);
        let mut problem =
            (found != size).then(|| format!("it has {found} bytes, the hub announced {size}"));
        if problem.is_none() && etag.bytes().all(|b| b.is_ascii_hexdigit()) {
            let named = match etag.len() {
                LARGE_DIGITS => Some(("SHA-256", hash(&places.blob, Sha256::new()))),
                SMALL_DIGITS => {
                    let head = Sha1::new_with_prefix(format!("blob {found}\0"));
                    Some(("Git hash", hash(&places.blob, head)))
                }
                _ => None,
            };
            if let Some((kind, hash)) = named {
                let hash = hash.map_err(|e| self.cannot_keep(file, &e))?;
                if !hash.eq_ignore_ascii_case(etag) {
                    problem = Some(format!("its {kind} is {hash}, the hub announced {etag}"));
                }
            }
        }
        let Some(problem) = problem else {
            return Ok(());
        };
        for path in [pointer, &places.blob] {
            fs::remove_file(path).map_err(|e| self.cannot_keep(file, &e))?;
        }
        Err(self.damaged(file, problem))
    }
}

/// Counts what arrives.
struct Meter<'a> {
    watch: &'a mut dyn Watch,
    file: &'a str,
    bytes: u64,
    /// Bytes that are there; none before the first are counted.
    done: Option<u64>,
}

impl Progress for Meter<'_> {
    fn init(&mut self, size: usize, _: &str) {
        self.bytes = size as u64;
        self.done = None;
    }

    /// The first amount is what an earlier download left.
    fn update(&mut self, size: usize) {
        let done = self.done.unwrap_or_default() + size as u64;
        if self.done.is_none() {
            self.watch.begin(self.file, self.bytes, done);
        }
        self.done = Some(done);
        self.watch.advance(done);
    }

    fn finish(&mut self) {}
}

/// Whether the hub could not be asked at all.
fn unreachable(error: &ApiError) -> bool {
    match error {
        ApiError::RequestError(error) => !matches!(
            **error,
            ureq::Error::StatusCode(400..500) | ureq::Error::Json(_) | ureq::Error::BadUri(_)
        ),
        _ => false,
    }
}

/// Whether the same request may well succeed a little later.
fn transient(error: &ApiError) -> bool {
    match error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(status) => status == 429 || status >= 500,
            ureq::Error::Json(_) | ureq::Error::BadUri(_) => false,
            _ => true,
        },
        ApiError::IoError(error) => matches!(
            error.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::ConnectionRefused
                | ErrorKind::BrokenPipe
                | ErrorKind::TimedOut
                | ErrorKind::Interrupted
                | ErrorKind::Other
        ),
        _ => false,
    }
}

/// Bytes of a file; 0 where there is none.
fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |found| found.len())
}

/// A file's hash, as digits, after what the hasher has taken in already.
fn hash(path: &Path, mut hasher: impl Digest) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    let digits = hasher.finalize();
    Ok(digits.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Lets a snapshot's name lead to a blob, as the hub's own tools do.
fn link(blob: &Path, pointer: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let up = Path::new("..").join("..").join("blobs");
        let target = up.join(blob.file_name().unwrap_or_default());
        // A link that led nowhere.
        if pointer.symlink_metadata().is_ok() {
            fs::remove_file(pointer)?;
        }
        std::os::unix::fs::symlink(target, pointer)
    }
    #[cfg(not(unix))]
    fs::copy(blob, pointer).map(drop)
}
