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
    app.read_ahead();
    run(listener, app, asked_to_end()?, GRACE).await
}

/// Serves until `end` is ready, then lets open connections end for as long as `grace`.
async fn run(
    listener: TcpListener,
    app: App,
    end: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> Result<()> {
    let (ending, mut ended) = watch::channel(false);
    let worker = app.clone();
    let graceful = async move {
        end.await;
        tracing::info!("the server ends");
        worker.shutdown();
        ending.send_replace(true);
    };
    let server = axum::serve(
        listener,
        router(app).into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(graceful);
    let deadline = async move {
        if ended.wait_for(|ended| *ended).await.is_ok() {
            tokio::time::sleep(grace).await;
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

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    use store::manifest::Manifest;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_server_ends_whatever_is_open() {
        let study = tempfile::tempdir().unwrap();
        Manifest::new("empty", 0).write(study.path()).unwrap();
        let app = App::open(&Options::new(study.path())).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let asked = async {
            let _ = ended.await;
        };
        let running = tokio::spawn(run(listener, app, asked, Duration::from_millis(100)));
        let clients = tokio::task::spawn_blocking(move || {
            // One connection waits for its next request, another is in the middle of its first.
            let mut idle = TcpStream::connect(addr).unwrap();
            idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
                .unwrap();
            assert!(head(&mut idle).starts_with("HTTP/1.1 200"));
            let mut unfinished = TcpStream::connect(addr).unwrap();
            unfinished
                .write_all(
                    b"POST /api/v1/generate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                      expect: 100-continue\r\ncontent-length: 100\r\n\r\n",
                )
                .unwrap();
            // The server reads the body now, and waits for the rest of it.
            assert!(head(&mut unfinished).starts_with("HTTP/1.1 100"));
            (idle, unfinished)
        });
        let _open = clients.await.unwrap();
        end.send(()).unwrap();
        running.await.unwrap().unwrap();
    }

    /// The beginning of an answer.
    fn head(stream: &mut TcpStream) -> String {
        let mut bytes = [0; 12];
        stream.read_exact(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
