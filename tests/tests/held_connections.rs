//! A program that is asked to end waits for its clients, and not for ever.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use appweight_tests::{Child, eventually, program};

/// How long connections that are still in use are waited for (`docs/operating.md`), and how much longer a busy machine may
/// take.
const FAREWELL: Duration = Duration::from_secs(20);
const SLACK: Duration = Duration::from_secs(10);

fn start(folder: &tempfile::TempDir) -> Child {
    let mut command = program("appweight");
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--database"])
        .arg(folder.path().join("store.db"));
    Child::start(command).expect("it starts")
}

fn connect(child: &Child, sent: &str) -> TcpStream {
    let address = child.url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).expect("it listens");
    connection.write_all(sent.as_bytes()).expect("it reads");
    connection
}

/// Bytes that the server has written to a connection and that have not got through, as the kernel says.
fn stuck(child: &Child, connection: &TcpStream) -> usize {
    let port = |address: &str| {
        let (_, port) = address.rsplit_once(':')?;
        u16::from_str_radix(port, 16).ok()
    };
    let (_, server) = child.url.rsplit_once(':').expect("a port");
    let server = server.parse().ok();
    let client = connection.local_addr().expect("an address").port();
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let queue = sockets.lines().find_map(|socket| {
        let mut columns = socket.split_whitespace().skip(1);
        let (own, other) = (port(columns.next()?), port(columns.next()?));
        let (sent, _) = columns.nth(1)?.split_once(':')?;
        (own == server && other == Some(client)).then_some(sent)
    });
    usize::from_str_radix(queue.expect("it is open"), 16).expect("a number")
}

#[test]
fn idle_connections_hold_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let child = start(&folder);
    let silent = connect(&child, "");
    let head = connect(&child, "GET /healthz HTTP/1.1\r\nhost: ");
    let mut kept = connect(&child, "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut answer = [0; 12];
    kept.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let began = Instant::now();
    assert!(child.stop().success());
    assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
    drop((silent, head, kept));
}

#[test]
fn clients_that_stopped_in_the_midst_of_something_are_waited_for_and_then_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let child = start(&folder);
    let body = "PUT /v1/batches/67e55044-10b1-426f-9247-bb680e5fe0c8 HTTP/1.1\r\nhost: a\r\n\
        content-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
    let body = connect(&child, body);
    // More answers than all buffers on the way hold.
    let question = "GET /v1/openapi.json HTTP/1.1\r\nhost: a\r\n\r\n";
    let held = connect(&child, &question.repeat(400));
    let mut before = 0;
    let mut alike = 0;
    eventually("no more answers find room", || {
        let now = stuck(&child, &held);
        alike = if now == before && now > 0 {
            alike + 1
        } else {
            0
        };
        before = now;
        (alike == 10).then_some(()).ok_or(format!("{now} B"))
    });
    let began = Instant::now();
    let said = child.said();
    assert!(child.stop().success(), "{said}");
    let took = began.elapsed();
    assert!(took < FAREWELL + SLACK, "{took:?}");
    assert!(took >= FAREWELL - SLACK, "{took:?}: it was not held");
    drop((body, held));
}
