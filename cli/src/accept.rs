mod in_hand;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tower::{ServiceExt, service_fn};

use in_hand::InHand;

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

/// Serves until `stop` is ready, and then who has a request in hand.
///
/// Not by axum's own server, which waits for a head that never comes for ever: such connections would take all descriptors
/// in the end.
pub(crate) async fn accept<L: Listener>(
    mut listener: L,
    router: Router,
    stop: impl Future<Output = ()>,
    patience: Patience,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(patience.head);
    // Each connection has a receiver as long as it is open.
    let (stopping, stopped) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let io = tokio::select! {
            (io, _) = listener.accept() => io,
            () = &mut stop => break,
        };
        tokio::spawn(serve(http.clone(), io, router.clone(), stopped.clone()));
    }
    drop((listener, stopped));
    stopping.send_replace(());
    let all_closed = tokio::time::timeout(patience.farewell, stopping.closed());
    if all_closed.await.is_err() {
        tracing::warn!("connections that were still open are cut");
    }
    tracing::info!("stopped");
}

/// Serves a connection until it is closed, or nothing of it is in hand once there is word to stop: who has not sent a whole
/// head by then loses nothing, and comes again.
async fn serve<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    http: http1::Builder,
    io: I,
    router: Router,
    mut stopped: watch::Receiver<()>,
) {
    let in_hand = InHand::default();
    let counted = in_hand.clone();
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (router, one) = (router.clone(), counted.request());
        async move {
            let answered = router.oneshot(request.map(Body::new)).await;
            answered.map(|answer| answer.map(|body| one.until_sent(body)))
        }
    });
    let io = TokioIo::new(in_hand.watch(io));
    let mut connection = pin!(http.serve_connection(io, TowerToHyperService::new(service)));
    let mut stopped = pin!(stopped.changed());
    let mut stopping = false;
    let ended = poll_fn(|context| {
        if !stopping && stopped.as_mut().poll(context).is_ready() {
            stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        // Last: what has come may be a whole head.
        match connection.as_mut().poll(context) {
            Poll::Pending if stopping && !in_hand.any() => Poll::Ready(Ok(())),
            polled => polled,
        }
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "a connection broke off");
    }
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
        start_with(PATIENCE).await
    }

    async fn start_with(
        patience: Patience,
    ) -> (
        std::net::SocketAddr,
        oneshot::Sender<()>,
        tokio::task::JoinHandle<()>,
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/", get(async || "here"))
            .route(
                "/soon",
                get(async || {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    "now"
                }),
            )
            .route("/never", get(std::future::pending::<String>));
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            stopped.await.ok();
        };
        let served = tokio::spawn(accept(listener, router, stopped, patience));
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

    #[tokio::test]
    async fn who_has_sent_half_a_head_is_not_waited_for_but_who_is_answered_is() {
        let (address, stop, served) = start_with(Patience::default()).await;
        let begun = Instant::now();
        let mut halted = ask(address, "GET / HTTP/1.1\r\nhost: ").await;
        let again = "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: ";
        let mut halted_again = ask(address, again).await;
        let mut asking = ask(address, "GET /soon HTTP/1.1\r\nhost: a\r\n\r\n").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.send(()).unwrap();
        assert_eq!(read(&mut halted).await, "");
        assert!(read(&mut halted_again).await.ends_with("here"));
        assert!(!served.is_finished());
        assert!(read(&mut asking).await.ends_with("now"));
        served.await.unwrap();
        assert!(begun.elapsed() < Patience::default().farewell / 2);
    }
}
