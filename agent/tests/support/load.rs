use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::routing::get;

/// How many clients ask without a pause.
const CLIENTS: u64 = 4;

/// A service on loopback that clients ask over HTTP, without a pause, while something happens to its agent.
pub(crate) struct Load {
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

/// What the clients got.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answers {
    /// Requests that were answered as the service meant.
    pub(crate) right: u64,
    /// Requests that were asked and answered otherwise, or not at all.
    pub(crate) wrong: u64,
}

/// The routes of a service, to which a layer is to be added: `/` yields in its midst, `/panic` panics, and all other
/// paths are answered too.
pub(crate) fn routes() -> Router {
    let yielding = async || {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        appweight_agent::flag("tried", "yes");
        "done"
    };
    Router::new()
        .route("/", get(yielding))
        .route(
            "/panic",
            get(async || -> &str { panic!("a panic that a test wants") }),
        )
        .fallback(async || "fallback")
}

impl Load {
    /// Serves on two threads.
    pub(crate) fn on(app: Router) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self {
            address,
            _runtime: runtime,
        }
    }

    /// Lets clients ask, each for its n-th path in turn, until `trouble` is over.
    pub(crate) fn during(
        &self,
        path: impl Fn(u64) -> String + Sync,
        trouble: impl FnOnce(),
    ) -> Answers {
        let over = AtomicBool::new(false);
        let (right, wrong) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (path, over, right, wrong) = (&path, &over, &right, &wrong);
                scope.spawn(move || {
                    let mut connection = None;
                    for n in 0.. {
                        if over.load(Ordering::SeqCst) {
                            return;
                        }
                        let path = path(n * CLIENTS + client);
                        let status = ask(&mut connection, self.address, &path);
                        // What panics is not answered by any service: its connection is closed.
                        let is_right = status == if path == "/panic" { None } else { Some(200) };
                        if is_right { right } else { wrong }.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            // Not before all of them ask.
            while right.load(Ordering::SeqCst) + wrong.load(Ordering::SeqCst) < 100 {
                thread::sleep(Duration::from_millis(1));
            }
            trouble();
            over.store(true, Ordering::SeqCst);
        });
        Answers {
            right: right.into_inner(),
            wrong: wrong.into_inner(),
        }
    }
}

/// The status of the answer, if there is one.
fn ask(
    connection: &mut Option<BufReader<TcpStream>>,
    address: SocketAddr,
    path: &str,
) -> Option<u16> {
    let mut stream = match connection.take() {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(address).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            stream.set_nodelay(true).ok()?;
            BufReader::new(stream)
        }
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: tested\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).ok()?;
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    *connection = Some(stream);
    Some(status)
}
