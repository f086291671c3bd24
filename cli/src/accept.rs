use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::serve::Listener;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tower::ServiceExt;

/// How long clients may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Until a request's head is there, from the answer before it on: longer than clients keep connections that nothing
    /// goes through, which is 90 s in many of them.
    pub(crate) head: Duration,
    /// A client that has not sent its batch or read its answer by then, once the server is asked to stop, has to come
    /// again: a process that is asked to end is killed before long.
    pub(crate) farewell: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(100),
            farewell: Duration::from_secs(20),
        }
    }
}

/// Serves until `stop` is ready, and then what is open.
///
/// Not by axum's own server, which waits for a head that never comes for ever: such connections would take all descriptors
/// in the end.
pub(crate) async fn accept<L: Listener>(
    mut listener: L,
    router: Router,
    stop: impl Future<Output = ()>,
    patience: Patience,
) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(patience.head);
    let open = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let io = tokio::select! {
            (io, _) = listener.accept() => io,
            () = &mut stop => break,
        };
        let service = router
            .clone()
            .map_request(|request: Request<hyper::body::Incoming>| request.map(Body::new));
        let connection = http.serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
        let connection = open.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke off");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(patience.farewell, open.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("connections that were still open are cut");
    }
    tracing::info!("stopped");
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;

    use super::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_millis(300),
        farewell: Duration::from_millis(500),
    };

    /// A server that answers at once, or never; what stops it; and its end.
    async fn start() -> (
        std::net::SocketAddr,
        oneshot::Sender<()>,
        tokio::task::JoinHandle<()>,
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/", get(async || "here"))
            .route("/never", get(std::future::pending::<String>));
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            stopped.await.ok();
        };
        let served = tokio::spawn(accept(listener, router, stopped, PATIENCE));
        (address, stop, served)
    }

    async fn ask(address: std::net::SocketAddr, head: &str) -> TcpStream {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        connection
    }

    async fn read(connection: &mut TcpStream) -> String {
        let mut told = String::new();
        connection.read_to_string(&mut told).await.unwrap();
        told
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_closes_its_connection_and_holds_up_nobody() {
        let (address, _stop, _served) = start().await;
        let begun = Instant::now();
        let mut halted = ask(address, "GET / HTTP/1.1\r\nhost: ").await;
        let mut silent = ask(address, "").await;
        let mut other = ask(
            address,
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        )
        .await;
        assert!(read(&mut other).await.ends_with("here"));
        assert!(begun.elapsed() < PATIENCE.head, "nobody waits");
        for connection in [&mut halted, &mut silent] {
            let closed = tokio::time::timeout(10 * PATIENCE.head, read(connection)).await;
            assert!(!closed.unwrap().contains("here"));
        }
    }

    #[tokio::test]
    async fn who_is_still_answered_when_the_server_stops_is_waited_for_but_not_for_ever() {
        let (address, stop, served) = start().await;
        let begun = Instant::now();
        let _held = ask(address, "GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.send(()).unwrap();
        served.await.unwrap();
        assert!(begun.elapsed() >= PATIENCE.farewell);
        assert!(begun.elapsed() < 20 * PATIENCE.farewell);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
