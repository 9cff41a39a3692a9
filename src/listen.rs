//! The HTTP server: connections, and how long and how large what comes over them may be.
//!
//! axum's own server has no limit on how slowly a client may send its headers, and none on their size that could be set; it serves with
//! the same parts that are put together here.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service, ServiceExt};
use trunkline_control::http::Limited;

/// How long a client may take for the headers of a request, the pause before it included: longer than load balancers keep idle
/// connections, so that it is they who close them.
const HEADERS: Duration = Duration::from_secs(75);
/// The most that is read of a request's line and headers, in bytes. The layers of the API refuse less, with a body that says so.
const HEAD: usize = 64 * 1024;
/// How many headers a request may have.
const MOST_HEADERS: usize = 100;
/// How long to wait when there are no more descriptors.
const BREATHE: Duration = Duration::from_millis(100);

/// A server that listens.
#[derive(Debug)]
pub(crate) struct Listening {
    /// No new connections; those that are open end with the request they are at.
    stop: CancellationToken,
    /// Whatever is left ends now.
    cut: CancellationToken,
    task: JoinHandle<()>,
}

impl Listening {
    /// Serves until it is stopped.
    pub(crate) fn start(listener: TcpListener, router: Router) -> Self {
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let task = tokio::spawn(accept(listener, router, stop.clone(), cut.clone()));
        Self { stop, cut, task }
    }

    /// Takes no more connections, and waits for requests that are under way, at most this long.
    pub(crate) async fn stop(self, limit: Duration) {
        self.stop.cancel();
        let mut task = self.task;
        if tokio::time::timeout(limit, &mut task).await.is_err() {
            tracing::warn!("requests that were under way are cut off");
            self.cut.cancel();
            let _ = task.await;
        }
    }
}

async fn accept(listener: TcpListener, router: Router, stop: CancellationToken, cut: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(serve(stream, peer, router.clone(), stop.clone(), cut.clone()));
            }
            // The client's doing, and no longer of interest.
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be taken");
                tokio::time::sleep(BREATHE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken, cut: CancellationToken) {
    // Small frames must leave at once: Nagle's algorithm would hold them back by up to 40 ms.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_headers(MOST_HEADERS)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(Limited::new(stream)), TowerToHyperService::new(with_peer(router, peer)))
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        // Clients go away and send nonsense all the time.
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Requests know whom they are from.
fn with_peer(
    router: Router,
    peer: SocketAddr,
) -> impl Service<Request<Incoming>, Response = axum::response::Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    router.map_request(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    })
}
