//! An address where no collector is: whatever answers there costs records at most, each of them is
//! counted, and nobody waits for it.

#[cfg(test)]
mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use appweight_agent::Agent;

use support::{TestCollector, wait_until};

const TASKS: u64 = 100;
/// What is left to send at the shutdown.
const WAIT: Duration = Duration::from_millis(200);
/// So much longer it may take on a machine that has other work too.
const SLACK: Duration = Duration::from_secs(2);

/// Something that listens and is no collector; each connection is handed to `answer`. Also how many
/// connections there were.
fn listener(
    answer: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("this machine gives a port");
    let address = format!("http://{}", listener.local_addr().expect("it listens"));
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            count.fetch_add(1, Ordering::SeqCst);
            let answer = Arc::clone(&answer);
            // A client that goes away ends its own thread only.
            thread::spawn(move || answer(stream));
        }
    });
    (address, connections)
}

/// Works with an agent that sends there, and ends it: nothing waits, and all that was counted is lost
/// and told to be.
fn expect_all_lost(collector: &str) {
    let agent = Agent::builder()
        .service("tested")
        .collector(collector)
        .cell_width(Duration::from_millis(20))
        .record_one_in(0)
        .start();
    assert!(agent.status().enabled, "{collector}");
    let begun = Instant::now();
    for _ in 0..TASKS / 2 {
        agent.measure("task:work", || ());
    }
    wait_until("an attempt failed, or was answered", || {
        let status = agent.status();
        status.retries > 0 || status.dropped > 0
    });
    let waited = begun.elapsed();
    for _ in 0..TASKS / 2 {
        agent.measure("task:work", || ());
    }
    assert!(
        begun.elapsed() - waited < SLACK,
        "{collector} holds work up"
    );
    let begun = Instant::now();
    assert!(!agent.shutdown(WAIT), "{collector} takes nothing");
    assert!(begun.elapsed() < WAIT + SLACK, "{:?}", begun.elapsed());
    // One attempt may still be under way, with its own time-out.
    wait_until("all is told", || agent.status().dropped_requests == TASKS);
    let status = agent.status();
    assert_eq!(
        (status.tasks, status.sent, status.queued_bytes),
        (TASKS, 0, 0)
    );
}

#[test]
fn a_name_that_does_not_resolve() {
    // A name that never exists (RFC 6761).
    expect_all_lost("http://appweight.invalid:7070");
}

#[test]
fn a_port_where_nobody_listens() {
    expect_all_lost(support::NOWHERE);
}

#[test]
fn a_server_that_speaks_no_http() {
    let (address, _) = listener(|mut stream| stream.write_all(b"SSH-2.0-OpenSSH_9.7\r\n"));
    expect_all_lost(&address);
}

#[test]
fn a_server_that_closes_at_once() {
    let (address, _) = listener(|_| Ok(()));
    expect_all_lost(&address);
}

#[test]
fn a_server_whose_head_never_ends() {
    let (address, _) = listener(|mut stream| {
        stream.read_exact(&mut [0; 1])?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            stream.write_all(b"x-more: and more and more and more\r\n")?;
        }
    });
    expect_all_lost(&address);
}

#[test]
fn a_server_whose_words_never_end() {
    let (address, _) = listener(|mut stream| {
        stream.read_exact(&mut [0; 1])?;
        stream.write_all(b"HTTP/1.1 500 No\r\nConnection: close\r\n\r\n")?;
        loop {
            stream.write_all(&[b'x'; 1_000])?;
        }
    });
    expect_all_lost(&address);
}

#[test]
fn another_service_that_knows_no_such_path() {
    let other = TestCollector::scripted(|_| (404, Duration::ZERO));
    expect_all_lost(&other.address());
}

#[test]
fn a_server_that_fails_for_ever_is_not_hammered() {
    let other = TestCollector::scripted(|_| (500, Duration::ZERO));
    expect_all_lost(&other.address());
    let puts = other.puts();
    // Pauses of up to a quarter of a second, half a second and so on, and then the shutdown's last ones.
    assert!(puts.len() < 30, "{} attempts", puts.len());
    assert!(
        puts.iter().all(|put| put.id == puts[0].id),
        "the oldest first"
    );
}

#[test]
fn a_redirect_is_not_followed() {
    let (elsewhere, connections) = listener(|_| Ok(()));
    let headers: &'static str = format!("Location: {elsewhere}/v1/batches/\r\n").leak();
    for status in [301, 302, 307, 308] {
        let other = TestCollector::scripted(move |_| support::Reply {
            status,
            delay: Duration::ZERO,
            headers,
        });
        expect_all_lost(&other.address());
        assert!(!other.puts().is_empty());
    }
    assert_eq!(
        connections.load(Ordering::SeqCst),
        0,
        "the token would go with it"
    );
}
