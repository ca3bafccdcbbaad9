//! What every handler shares: the open study, the model worker if there is one, the counters.

use std::{collections::HashMap, path::PathBuf, sync::Arc, thread};

use api::{Availability, DecoderRows, Readiness, ReadyState, StudyInfo};
use engine::Engine;
use store::Store;

use tokio::sync::Semaphore;

use crate::{
    Error, Options, Result,
    hosting::{address::PublicUrl, clients::Clients},
    metrics::Requests,
    pages,
    problem::{Answer, Problem},
    runs::{Facts, Runs},
    study::{Models, Study},
};

/// An open study, ready to be served. Clones share it.
#[derive(Clone)]
pub struct App(Arc<Shared>);

struct Shared {
    store: Arc<Store>,
    info: StudyInfo,
    slugs: Vec<String>,
    /// Folders of the dictionaries whose weights are here.
    weights: HashMap<String, PathBuf>,
    engine: Option<Engine>,
    /// Why there are no models; empty when there are.
    absent: String,
    runs: Runs,
    /// Questions to the study that are answered at once; more would only take the processor from each other, each with a thread.
    questions: Semaphore,
    /// One reads what is not at hand: that takes long, and makes many others' answers quick.
    reading: Arc<Semaphore>,
    requests: Requests,
    public: Option<PublicUrl>,
    clients: Clients,
}

impl App {
    /// Checks a study and starts to load its models. Blocks; weights are read only of dictionaries that are not analysed.
    ///
    /// # Errors
    /// A sentence naming the file or tensor at fault, what was expected, what was found and the remedy.
    pub fn open(options: &Options) -> Result<Self> {
        let study = Study::open(options)?;
        let dictionaries = study.dictionaries()?;
        let weights = study.weights()?;
        let Study {
            manifest,
            store,
            models,
            ..
        } = study;
        let mut info = StudyInfo {
            name: manifest.name,
            description: manifest.description,
            base: None,
            chat: None,
            layer: manifest.layer,
            device: "none".into(),
            dtype: "none".into(),
            models: Availability {
                available: false,
                reason: None,
            },
            cuts: manifest.classes,
            dictionaries,
            corpora: manifest.corpora,
            provenance: manifest.provenance.into_iter().collect(),
            prompts: manifest.prompts,
            template: None,
            max_prompt_tokens: 0,
            version: env!("CARGO_PKG_VERSION").into(),
            revision: store.revision().into(),
        };
        let path = options.runs.clone();
        let path = path.unwrap_or_else(|| options.study.join(store::RUNS));
        let facts = match &models {
            Models::Checked(options, checked) => Facts::new(&info.name, options, checked),
            Models::Absent(_) => Facts::default(),
        };
        let runs = Runs::open(&path, options.max_runs, facts)?;
        let (engine, absent) = match models {
            Models::Checked(options, checked) => {
                info.base = Some(checked.base);
                info.chat = Some(checked.chat);
                info.device = checked.device;
                info.dtype = checked.dtype;
                info.template = Some(checked.template);
                info.max_prompt_tokens = checked.max_prompt_tokens;
                let describe = |error: &engine::Error| Problem::from(error).body;
                (Some(Engine::start(*options, describe)?), String::new())
            }
            Models::Absent(reason) => (None, reason),
        };
        Ok(Self(Arc::new(Shared {
            store: Arc::new(store),
            slugs: info.dictionaries.iter().map(|d| d.slug.clone()).collect(),
            weights,
            info,
            engine,
            absent,
            runs,
            questions: Semaphore::new(thread::available_parallelism().map_or(2, usize::from) + 1),
            reading: Arc::new(Semaphore::new(1)),
            requests: Requests::default(),
            public: options.public_url.clone(),
            clients: Clients::new(options.clients.clone()),
        })))
    }

    /// Reads, on a thread of its own, what pages will show of the dictionaries that [`pages::ahead`] chooses; whoever asks meanwhile is
    /// answered as before.
    pub fn read_ahead(&self) {
        let shared = Arc::clone(&self.0);
        let reads = move || {
            let latents = |slug: &String| shared.store.rows(slug).map_or(0, <[_]>::len);
            let chosen = pages::ahead(shared.slugs.iter().map(latents)).count();
            for slug in shared.slugs.iter().take(chosen) {
                if let Err(error) = shared.store.read_ahead(slug) {
                    tracing::warn!("the latents of {slug} could not be read ahead: {error}");
                }
            }
        };
        if let Err(error) = thread::Builder::new()
            .name("read-ahead".into())
            .spawn(reads)
        {
            tracing::warn!("nothing is read ahead: {error}");
        }
    }

    /// State of the models.
    pub fn readiness(&self) -> Readiness {
        self.0.engine.as_ref().map_or(
            Readiness {
                state: ReadyState::BrowseOnly,
                fraction: 0.0,
                detail: None,
            },
            Engine::readiness,
        )
    }

    /// Why this server runs no prompts, where it has no models.
    pub fn absent(&self) -> Option<&str> {
        self.0.engine.is_none().then_some(self.0.absent.as_str())
    }

    /// Waits until the models are loaded or cannot be.
    ///
    /// # Errors
    /// [`Error::NoModels`], or the sentence why loading failed.
    pub async fn ready(&self) -> Result<()> {
        let Some(engine) = &self.0.engine else {
            return Err(Error::NoModels(self.0.absent.clone()));
        };
        let mut watch = engine.watch();
        let settled = watch.wait_for(|r| r.state != ReadyState::Loading).await;
        match settled.map(|r| r.clone()) {
            Ok(Readiness { detail: None, .. }) => Ok(()),
            Ok(Readiness {
                detail: Some(detail),
                ..
            }) => Err(engine::Error::Failed(detail).into()),
            Err(_) => Err(engine::Error::Stopping.into()),
        }
    }

    /// Ends running streams and takes no more prompts.
    pub fn shutdown(&self) {
        if let Some(engine) = &self.0.engine {
            engine.shutdown();
        }
    }

    /// The answer of `GET /study` at this moment.
    pub(crate) fn info(&self) -> StudyInfo {
        let mut info = self.0.info.clone();
        let readiness = self.readiness();
        info.models = match readiness.state {
            ReadyState::Ready => Availability {
                available: true,
                reason: None,
            },
            ReadyState::Loading => unavailable(format!(
                "the models are loading ({:.0} % read)",
                readiness.fraction * 100.0
            )),
            ReadyState::Failed => unavailable(format!(
                "the models could not be loaded: {}",
                readiness.detail.unwrap_or_default()
            )),
            ReadyState::BrowseOnly => unavailable(self.0.absent.clone()),
        };
        info
    }

    /// Hash that names the state of the study's data.
    pub(crate) fn revision(&self) -> &str {
        &self.0.info.revision
    }

    /// The address by which readers know this server.
    pub(crate) fn public(&self) -> Option<&PublicUrl> {
        self.0.public.as_ref()
    }

    /// What each client is doing.
    pub(crate) fn clients(&self) -> &Clients {
        &self.0.clients
    }

    /// The saved runs.
    pub(crate) fn runs(&self) -> &Runs {
        &self.0.runs
    }

    /// Request counters.
    pub(crate) fn requests(&self) -> &Requests {
        &self.0.requests
    }

    /// The model worker, if there is one.
    pub(crate) fn engine(&self) -> Option<&Engine> {
        self.0.engine.as_ref()
    }

    /// The model worker, for a prompt that names a dictionary.
    ///
    /// # Errors
    /// 404 for a dictionary that the study lacks, 503 without models.
    pub(crate) fn engine_for(&self, dictionary: &str) -> Answer<&Engine> {
        self.check_dictionary(dictionary)?;
        let engine = self.0.engine.as_ref();
        engine.ok_or_else(|| Problem::no_models(&self.0.absent))
    }

    /// 404 for a dictionary that the study lacks.
    pub(crate) fn check_dictionary(&self, slug: &str) -> Answer<()> {
        if self.0.slugs.iter().any(|s| s == slug) {
            return Ok(());
        }
        Err(store::Error::UnknownDictionary {
            slug: slug.into(),
            known: self.0.slugs.clone(),
        }
        .into())
    }

    /// Asks the study's database, on a thread where waiting is allowed.
    ///
    /// # Errors
    /// The database's error as a problem.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Store) -> store::Result<T> + Send + 'static,
    ) -> Answer<T> {
        let store = Arc::clone(&self.0.store);
        Ok(self.wait(move || question(&store)).await??)
    }

    /// Asks about one latent. What must be read for it is read first, for one after the other: others' questions go on meanwhile.
    ///
    /// # Errors
    /// As [`App::ask`].
    pub(crate) async fn ask_of_latent<T: Send + 'static>(
        &self,
        slug: String,
        id: u32,
        question: impl FnOnce(&Store, &str) -> store::Result<T> + Send + 'static,
    ) -> Answer<T> {
        if !self.0.store.is_at_hand(&slug, id)? {
            // It is never closed.
            let turn = Arc::clone(&self.0.reading).acquire_owned().await.ok();
            let (store, slug) = (Arc::clone(&self.0.store), slug.clone());
            // Whoever asked may leave: the turn ends with the reading.
            let read = move || {
                let _turn = turn;
                store.read_near(&slug, id)
            };
            blocking(read).await??;
        }
        self.ask(move |store| question(store, &slug)).await
    }

    /// A latent's decoder rows, from the dictionary's weights.
    ///
    /// # Errors
    /// 404 for a latent that is not there, or weights that are not here.
    pub(crate) async fn decoder_rows(&self, slug: String, id: u32) -> Answer<DecoderRows> {
        let folder = self.0.weights.get(&slug).cloned();
        let folder = folder.ok_or_else(|| Problem::no_weights(&slug))?;
        self.ask(move |store| store.row(&slug, id).map(|_| ()))
            .await?;
        Ok(self
            .wait(move || engine::decoder_rows(&folder, id))
            .await??)
    }

    /// Does something on a thread where waiting is allowed, a few things at once.
    async fn wait<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Answer<T> {
        // It is never closed.
        let _turn = self.0.questions.acquire().await.ok();
        blocking(work).await
    }
}

/// Does something on a thread where waiting is allowed.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a question to the study failed");
        Problem::internal("the study could not be read; try again")
    })
}

fn unavailable(reason: String) -> Availability {
    Availability {
        available: false,
        reason: Some(reason),
    }
}
