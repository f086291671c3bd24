use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Certificate;

/// A client that has not shaken hands by then is not one of ours.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// So many may be at it at once; others wait in the system's queue.
const HANDSHAKES: usize = 1_024;
/// How often it is looked whether the certificate was renewed.
const RENEWAL: Duration = Duration::from_secs(60);

type Connection = (TlsStream<TcpStream>, SocketAddr);

/// Accepts connections and hands them on once their handshake is done, in whichever order that is: a client
/// that is slow at it keeps nobody waiting.
#[derive(Debug)]
pub(crate) struct TlsListener {
    ready: mpsc::Receiver<Connection>,
    address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl TlsListener {
    /// Shakes hands by that certificate from now on.
    pub(crate) fn new(tcp: TcpListener, certificate: Arc<Certificate>) -> io::Result<Self> {
        Self::renewing(tcp, certificate, RENEWAL)
    }

    pub(super) fn renewing(
        tcp: TcpListener,
        certificate: Arc<Certificate>,
        every: Duration,
    ) -> io::Result<Self> {
        let address = tcp.local_addr()?;
        let (done, ready) = mpsc::channel(HANDSHAKES);
        let renewed = Arc::clone(&certificate);
        let tasks = [
            tokio::spawn(accept_all(tcp, certificate, done)),
            tokio::spawn(async move { renewed.renew(every).await }),
        ];
        Ok(Self {
            ready,
            address,
            tasks,
        })
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Connection {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The task that accepts ends with this listener alone.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn accept_all(
    mut tcp: TcpListener,
    certificate: Arc<Certificate>,
    done: mpsc::Sender<Connection>,
) {
    let room = Arc::new(Semaphore::new(HANDSHAKES));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        // Waits a moment where the system has no more descriptors.
        let (stream, client) = Listener::accept(&mut tcp).await;
        let acceptor = TlsAcceptor::from(certificate.current());
        let done = done.clone();
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
                // An error means that nobody listens any more.
                Ok(Ok(stream)) => drop(done.send((stream, client)).await),
                Ok(Err(error)) => tracing::debug!(%client, %error, "no handshake"),
                Err(_) => tracing::debug!(%client, "a handshake took too long"),
            }
            drop(permit);
        });
    }
}
