//! The engine as its callers see it: checks requests, queues them, hands back results and streams.

use std::{
    sync::{Arc, OnceLock, atomic::Ordering},
    thread,
    time::Instant,
};

use api::{
    ActivationsRequest, ActivationsResponse, EffectsRequest, EffectsResponse, ExplainRequest,
    ExplainResponse, GenerateEvent, GenerateRequest, Readiness, ReadyState, TokenInfo,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task,
};

use crate::{
    Error, Metrics, Options, Result,
    activations::ActivationsJob,
    effects::EffectsJob,
    explain::ExplainJob,
    generate::GenerateJob,
    job::{Job, Queued},
    metrics::Counters,
    pair::{Pair, unknown_dictionary},
    turns::Turns,
    worker::{self, Describe, Shared},
};

/// A handle on the model worker. Clones share one worker; it ends when the last clone is gone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    slugs: Arc<[String]>,
}

/// A stream of events; dropping it ends the generation within a token of each lane.
pub type Generation = mpsc::UnboundedReceiver<GenerateEvent>;

impl Engine {
    /// Starts the worker, which begins to load the models. `describe` makes the problem that ends a failed stream.
    ///
    /// # Errors
    /// [`Error::Failed`] when the thread cannot be started. Faults in the files show in [`Engine::readiness`]; run [`crate::check`] first.
    pub fn start(options: Options, describe: Describe) -> Result<Self> {
        let (jobs, receiver) = mpsc::channel(options.limits.queue.max(1));
        let slugs = options
            .dictionaries
            .iter()
            .map(|d| d.slug.clone())
            .collect();
        let shared = Arc::new(Shared {
            pair: OnceLock::new(),
            counters: Counters::default(),
            stopping: false.into(),
            readiness: watch::Sender::new(Readiness {
                state: ReadyState::Loading,
                fraction: 0.0,
                detail: None,
            }),
            describe,
        });
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("models".into())
            .spawn(move || worker::work(&options, &theirs, receiver))
            .map_err(|e| Error::Failed(format!("no thread for them: {e}")))?;
        Ok(Self::from_parts(shared, jobs, slugs))
    }

    /// A handle on a worker's ends.
    pub(crate) fn from_parts(
        shared: Arc<Shared>,
        jobs: mpsc::Sender<Job>,
        slugs: Arc<[String]>,
    ) -> Self {
        Self {
            shared,
            jobs,
            slugs,
        }
    }

    /// State of the models.
    pub fn readiness(&self) -> Readiness {
        self.shared.readiness.borrow().clone()
    }

    /// State of the models as it changes.
    pub fn watch(&self) -> watch::Receiver<Readiness> {
        self.shared.readiness.subscribe()
    }

    /// Counters of the engine.
    pub fn metrics(&self) -> Metrics {
        let pair = self.shared.pair.get();
        Metrics {
            resident: pair.map_or_else(Default::default, Pair::resident),
            kept: pair.map_or_else(Default::default, |pair| pair.kept.counts()),
            ..self.shared.counters.snapshot()
        }
    }

    /// Ends running streams with `cancelled` and questions with [`Error::Stopping`], and takes no more requests.
    pub fn shutdown(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }

    /// One prompt through both models and one dictionary.
    ///
    /// # Errors
    /// A fault of the request, of the moment (loading, busy, stopping) or of the computation.
    pub async fn activations(&self, request: ActivationsRequest) -> Result<ActivationsResponse> {
        let job = self
            .checked(&request.dictionary.clone(), move |pair| {
                ActivationsJob::new(&request, pair)
            })
            .await?;
        self.answer(move |pair, turns| job.run(pair, turns)).await
    }

    /// Lanes under teacher forcing.
    ///
    /// # Errors
    /// As [`Engine::activations`].
    pub async fn effects(&self, request: EffectsRequest) -> Result<EffectsResponse> {
        let job = self
            .checked(&request.dictionary.clone(), move |pair| {
                EffectsJob::new(&request, pair)
            })
            .await?;
        self.answer(move |pair, turns| job.run(pair, turns)).await
    }

    /// The latents that explain the models' difference at one token.
    ///
    /// # Errors
    /// As [`Engine::activations`].
    pub async fn explain(&self, request: ExplainRequest) -> Result<ExplainResponse> {
        let job = self
            .checked(&request.dictionary.clone(), move |pair| {
                ExplainJob::new(&request, pair)
            })
            .await?;
        self.answer(move |pair, turns| job.run(pair, turns)).await
    }

    /// The prompt's tokens of a generation that could be served; nothing is computed.
    ///
    /// # Errors
    /// As [`Engine::generate`].
    pub async fn tokens(&self, request: GenerateRequest) -> Result<Vec<TokenInfo>> {
        self.checked(&request.dictionary.clone(), move |pair| {
            Ok(GenerateJob::new(&request, pair)?.tokens(pair))
        })
        .await
    }

    /// Lanes generating side by side. The stream begins at once with `meta`; drop it to stop.
    ///
    /// # Errors
    /// A fault of the request or of the moment. Faults of the computation end the stream with an `error` event.
    pub async fn generate(&self, request: GenerateRequest) -> Result<Generation> {
        let since = Instant::now();
        let (job, meta) = self
            .checked(&request.dictionary.clone(), move |pair| {
                let job = GenerateJob::new(&request, pair)?;
                let meta = job.meta(pair);
                Ok((job, meta))
            })
            .await?;
        let (events, stream) = mpsc::unbounded_channel();
        // The receiver is still here, so this cannot fail.
        let _ = events.send(meta);
        self.enqueue(Job::Generate(Queued { job, events, since }))?;
        Ok(stream)
    }

    /// Runs a request's checks against the loaded pair, off the caller's thread since long prompts take a while to tokenise.
    async fn checked<T: Send + 'static>(
        &self,
        dictionary: &str,
        check: impl FnOnce(&Pair) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if !self.slugs.iter().any(|slug| slug == dictionary) {
            return Err(unknown_dictionary(dictionary, self.slugs.iter()));
        }
        if self.shared.stopping() {
            return Err(Error::Stopping);
        }
        let shared = Arc::clone(&self.shared);
        let checking = task::spawn_blocking(move || match shared.pair.get() {
            Some(pair) => check(pair),
            None => Err(not_ready(&shared.readiness.borrow())),
        });
        checking
            .await
            .unwrap_or_else(|e| Err(Error::Computation(e.to_string())))
    }

    async fn answer<T: Send + 'static>(
        &self,
        compute: impl FnOnce(&Pair, &Turns<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Job::question(compute, reply))?;
        // Whoever lets go of a question without an answer does so at the end, or has no thread for it.
        answer.await.unwrap_or_else(|_| {
            Err(if self.shared.stopping() {
                Error::Stopping
            } else {
                Error::Computation("it could not be begun".into())
            })
        })
    }

    fn enqueue(&self, job: Job) -> Result<()> {
        let counters = &self.shared.counters;
        // The worker takes jobs out of the channel before it begins them, so what waits is counted apart.
        let most = self.jobs.max_capacity();
        let busy = |waiting| Error::Busy { waiting };
        let waiting = counters.wait(most).map_err(busy)?;
        self.jobs.try_send(job).map_err(|refused| {
            counters.start();
            match refused {
                mpsc::error::TrySendError::Full(_) => busy(waiting),
                mpsc::error::TrySendError::Closed(_) => Error::Stopping,
            }
        })
    }
}

/// The error for a request that comes before the models are there.
fn not_ready(readiness: &Readiness) -> Error {
    match &readiness.detail {
        Some(detail) => Error::Failed(detail.clone()),
        None => Error::Loading {
            fraction: readiness.fraction,
        },
    }
}
