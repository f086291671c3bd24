//! What requests cost and what is outside of them is the whole process. A process of its own: what
//! other tests do at the same time would be neither.

#[cfg(test)]
mod support;

use axum::Router;
use axum::routing::get;

use support::{SOON, TestCollector, burn};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_what_is_outside_of_them_are_the_whole_process() {
    use http_body_util::BodyExt;

    let collector = TestCollector::start();
    let agent = collector.agent().record_one_in(0).start();
    let inner = agent.clone();
    let work = move || {
        let inner = inner.clone();
        async move {
            burn(5);
            // A part of the request, and not outside of it.
            inner.measure("task:inner", || burn(5));
        }
    };
    let app = Router::new().route("/work", get(work)).layer(agent.layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    // Work that nobody measures, in the runtime's threads and in one of its own.
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let busy = std::thread::spawn(move || {
        burn(3_000);
        wait.recv().ok();
    });
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .build_http::<axum::body::Body>();
    // Threads that end before anybody looks at them: half of them measure a request each.
    let brief = std::thread::spawn({
        let agent = agent.clone();
        move || {
            for at in 0..400 {
                let agent = agent.clone();
                let one = std::thread::spawn(move || {
                    burn(1);
                    if at % 2 == 0 {
                        agent.measure("task:brief", || burn(1));
                    }
                    burn(2);
                });
                one.join().unwrap();
            }
        }
    });
    for _ in 0..600 {
        let uri = format!("http://{address}/work").parse().unwrap();
        let response = client.get(uri).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    // The runtime's threads tell what they used after their last request with the next one.
    for _ in 0..8 {
        tokio::spawn({
            let agent = agent.clone();
            async move { agent.measure("task:tell", || ()) }
        })
        .await
        .unwrap();
    }
    server.abort();
    brief.join().unwrap();
    assert!(agent.shutdown(SOON));
    drop(done);
    busy.join().unwrap();

    let processes = collector.processes();
    let whole: u64 = processes.iter().map(|process| process.cpu_ns).sum();
    let outside: u64 = processes
        .iter()
        .map(|process| process.cpu_outside_ns.unwrap())
        .sum();
    let measured: u64 = collector
        .cells()
        .iter()
        .filter(|cell| cell.key.endpoint != "task:inner")
        .map(|cell| cell.cpu_ns.as_ref().unwrap().sum)
        .sum();
    let share = (measured + outside) as f64 / whole as f64;
    assert!(
        (0.99..1.01).contains(&share),
        "{measured} + {outside} of {whole} ns: {share}"
    );
    assert!(
        outside > whole / 5 && measured > whole / 5,
        "{outside} {measured} {whole}"
    );
}
