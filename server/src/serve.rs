//! Listens, serves and ends in good order; and gives a single answer without listening.

use std::{
    future::{Future, IntoFuture},
    io,
    net::SocketAddr,
    time::Duration,
};

use api::{ActivationsRequest, ActivationsResponse};
use tokio::{net::TcpListener, sync::watch};

use crate::{App, Error, Options, Result, router};

/// Time that open connections have to end once the server is asked to.
const GRACE: Duration = Duration::from_secs(3);

/// A server that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Where it listens, with the port that was taken.
    pub addr: SocketAddr,
    /// Why it runs no prompts, where it has no models.
    pub without_models: Option<String>,
}

/// Checks a study, listens, calls `started`, and serves until SIGTERM or Ctrl-C; then ends within five seconds, whatever is open.
///
/// The worker may still be busy when this returns: end the process without waiting for the runtime's blocking threads.
///
/// # Errors
/// A fault in the study, models or dictionaries, found before anything listens; or an address that cannot be used.
pub async fn serve(options: Options, started: impl FnOnce(&Started)) -> Result<()> {
    let addr = options.addr;
    let app = open(options).await?;
    let listener = TcpListener::bind(addr)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => Error::PortInUse { addr },
            _ => Error::Listen { addr, source },
        })?;
    started(&Started {
        addr: listener.local_addr()?,
        without_models: app.absent().map(str::to_owned),
    });
    run(listener, app, asked_to_end()?).await
}

/// Serves until `end` is ready, then lets open connections end for a while.
async fn run(
    listener: TcpListener,
    app: App,
    end: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let (ending, mut ended) = watch::channel(false);
    let worker = app.clone();
    let graceful = async move {
        end.await;
        tracing::info!("the server ends");
        worker.shutdown();
        ending.send_replace(true);
    };
    let server = axum::serve(listener, router(app)).with_graceful_shutdown(graceful);
    let deadline = async move {
        if ended.wait_for(|ended| *ended).await.is_ok() {
            tokio::time::sleep(GRACE).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        result = server.into_future() => Ok(result?),
        () = deadline => Ok(()),
    }
}

/// Ready when the process is asked to end.
fn asked_to_end() -> Result<impl Future<Output = ()> + Send + 'static> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => (),
            _ = terminate.recv() => (),
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}

/// What `POST /activations` would answer, without a server.
///
/// # Errors
/// A fault in the study or the request, as a sentence.
pub async fn activations_once(
    options: Options,
    request: ActivationsRequest,
) -> Result<ActivationsResponse> {
    let app = open(options).await?;
    app.ready().await?;
    let Some(engine) = app.engine() else {
        return Err(Error::NoModels(app.absent().unwrap_or_default().into()));
    };
    Ok(engine.activations(request).await?)
}

/// Opens a study where waiting is allowed.
async fn open(options: Options) -> Result<App> {
    tokio::task::spawn_blocking(move || App::open(&options))
        .await
        .map_err(io::Error::other)?
}
