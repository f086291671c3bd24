use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use appweight::api::AlertState;
use serde_json::{Value, json};
use ureq::Agent;

use super::tell::tell;
use super::*;
use crate::testing::{Bench, NOON, SECOND};

/// A roll-out as [`Bench::roll_out`] makes it, judged.
async fn roll_out(bench: &Bench, start: u64, ids: [&str; 2], costs_ns: [u64; 2]) {
    bench.roll_out(start, ids, costs_ns).await;
    bench.collector.watch_once().await.unwrap();
}

/// One that made the service heavier by half.
async fn heavier() -> Bench {
    let bench = Bench::new();
    bench
        .post_deploy(json!({"service": "photo", "id": "a", "started_us": NOON - 60 * SECOND}))
        .await;
    roll_out(&bench, 0, ["a", "b"], [1_000_000, 1_500_000]).await;
    bench
}

async fn alerts(bench: &Bench) -> Vec<(String, String)> {
    let answer = bench.get("/v1/alerts").await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let alerts = answer.body.as_array().unwrap().iter();
    alerts
        .map(|alert| (text(&alert["deploy"]["id"]), text(&alert["state"])))
        .collect()
}

fn is(id: &str, state: &str) -> (String, String) {
    (id.to_owned(), state.to_owned())
}

#[tokio::test]
async fn a_regression_is_an_alert_until_it_is_undone() {
    let bench = heavier().await;
    assert_eq!(alerts(&bench).await, [is("b", "open")]);
    roll_out(&bench, 100, ["b", "c"], [1_500_000, 1_500_000]).await;
    assert_eq!(alerts(&bench).await, [is("b", "open")]);
    roll_out(&bench, 200, ["c", "d"], [1_500_000, 1_000_000]).await;
    assert_eq!(alerts(&bench).await, [is("b", "resolved")]);
    let shown = bench.get("/v1/alerts?state=resolved").await.body;
    assert_eq!(shown[0]["resolved_by"], "d");
    assert_eq!(shown[0]["findings"][0]["endpoint"], "/feed");
    assert_eq!(bench.get("/v1/alerts?state=open").await.body, json!([]));
}

#[tokio::test]
async fn what_could_not_be_resolved_is_resolved_at_the_next_look() {
    let bench = heavier().await;
    bench
        .roll_out(100, ["b", "c"], [1_500_000, 1_000_000])
        .await;
    bench.store.refuse_alerts(true).await;
    bench.collector.watch_once().await.unwrap_err();
    assert_eq!(alerts(&bench).await, [is("b", "open")]);
    bench.store.refuse_alerts(false).await;
    let judged = bench.collector.watch_once().await.unwrap();
    assert!(judged.is_empty(), "it was judged before: {judged:?}");
    assert_eq!(alerts(&bench).await, [is("b", "resolved")]);
}

#[tokio::test]
async fn somebody_says_what_is_done_about_it_and_why() {
    let bench = heavier().await;
    let say = |body: Value| bench.post("/v1/alerts", body);
    let said =
        say(json!({"service": "photo", "deploy": "b", "state": "acknowledged", "by": "Ada"}));
    let said = said.await;
    assert_eq!(said.status.as_u16(), 200, "{said:?}");
    assert_eq!(
        (&said.body["state"], &said.body["by"]),
        (&json!("acknowledged"), &json!("Ada"))
    );
    assert_eq!(alerts(&bench).await, [is("b", "acknowledged")]);
    let why = json!({"service": "photo", "deploy": "b", "state": "accepted"});
    say(why.clone()).await.assert_problem(422, Some("reason"));
    let mut resolved = why.clone();
    resolved["state"] = json!("resolved");
    say(resolved).await.assert_problem(422, Some("state"));
    let mut unknown = why.clone();
    unknown["deploy"] = json!("a");
    unknown["reason"] = json!("two models");
    say(unknown.clone())
        .await
        .assert_problem(404, Some("deploy"));
    unknown["deploy"] = json!("b");
    let accepted = say(unknown).await;
    assert_eq!(accepted.body["reason"], "two models");
    assert_eq!(accepted.body["by"], Value::Null);
    say(json!({"service": "photo"}))
        .await
        .assert_problem(400, Some("."));
}

/// A receiver on a port of its own that answers with these statuses, one after the other, and then with 200.
pub(super) fn receiver(
    answers: &'static [&'static str],
) -> (String, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, received) = mpsc::channel();
    thread::spawn(move || {
        let answers = answers.iter().copied().chain(std::iter::repeat("200 OK"));
        for (stream, answer) in listener.incoming().zip(answers) {
            let mut stream = stream.unwrap();
            let mut text = Vec::new();
            let mut part = [0; 4_096];
            let (head, body) = loop {
                let read = stream.read(&mut part).unwrap();
                text.extend_from_slice(&part[..read]);
                let all = String::from_utf8_lossy(&text).into_owned();
                if let Some((head, body)) = all.split_once("\r\n\r\n")
                    && let Ok(body) = serde_json::from_str(body)
                {
                    break (head.to_owned(), body);
                }
                assert!(read > 0, "{all}");
            };
            let answer =
                format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            if sender.send((head, body)).is_err() {
                return;
            }
        }
    });
    (url, received)
}

pub(super) fn webhook(url: &str) -> Hook {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    Hook::webhook(url, Some(secret), Agent::new_with_defaults()).unwrap()
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines();
    let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no {name} in {head}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_is_told_once_and_again_until_it_is_taken() {
    let bench = heavier().await;
    let (url, received) = receiver(&["503 Service Unavailable"]);
    let (hook, app) = (webhook(&url), bench.collector.app());
    let failed = tell(app, &hook).await.unwrap_err();
    assert_eq!(failed.to_string(), "it answers 503 Service Unavailable");
    tell(app, &hook).await.unwrap();
    tell(app, &hook).await.unwrap();
    let (first, again) = (received.recv().unwrap(), received.recv().unwrap());
    assert_eq!(
        header(&first.0, "webhook-id"),
        header(&again.0, "webhook-id")
    );
    assert!(header(&again.0, "webhook-signature").starts_with("v1,"));
    assert_eq!(
        (first.1, &again.1["type"]),
        (again.1.clone(), &json!("alert.open"))
    );
    assert!(received.try_recv().is_err(), "it is told once");

    let said = json!({"service": "photo", "deploy": "b", "state": "acknowledged"});
    bench.post("/v1/alerts", said).await;
    tell(app, &hook).await.unwrap();
    tell(app, &hook).await.unwrap();
    assert_eq!(received.recv().unwrap().1["type"], "alert.acknowledged");
    assert!(received.try_recv().is_err(), "it is told once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_starts_anew_tells_only_what_was_not_told() {
    let bench = heavier().await;
    let (url, received) = receiver(&[]);
    tell(bench.collector.app(), &webhook(&url)).await.unwrap();
    assert_eq!(received.recv().unwrap().1["type"], "alert.open");
    let restarted = bench.restarted(|_| {});
    restarted.collector.watch_once().await.unwrap();
    assert_eq!(alerts(&restarted).await, [is("b", "open")]);
    let app = restarted.collector.app();
    assert_eq!(app.alerts.regressed().len(), 1);
    tell(app, &webhook(&url)).await.unwrap();
    assert!(received.try_recv().is_err(), "it was told before");
    // Somebody else was not told yet.
    let slack = Hook::slack(&url, Agent::new_with_defaults()).unwrap();
    tell(app, &slack).await.unwrap();
    let told = received.recv().unwrap();
    let text = told.1["text"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with("*photo b*: ") && text.contains("/feed"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_news_is_not_told() {
    let bench = heavier().await;
    let (url, received) = receiver(&[]);
    bench.at(NOON + 86_400 * SECOND + 200 * SECOND);
    tell(bench.collector.app(), &webhook(&url)).await.unwrap();
    assert!(received.try_recv().is_err());
    let deploy = Deploy {
        service: "photo".into(),
        id: "b".into(),
        started_us: NOON,
        ..Deploy::default()
    };
    let change = change(bench.collector.app(), &deploy, |status| {
        set(status, AlertState::Open, NOON + 86_400 * SECOND);
        true
    });
    change.await.unwrap();
    tell(bench.collector.app(), &webhook(&url)).await.unwrap();
    assert_eq!(received.recv().unwrap().1["type"], "alert.open");
}
