//! Who a request is from is counted, and told to nobody.

#[cfg(test)]
mod support;

use std::fmt::Write;
use std::time::Duration;

use appweight_agent::{AgentBuilder, flag};
use appweight_wire::ActiveUsers;
use axum::Router;
use axum::routing::get;
use tower::ServiceExt;

use support::{SOON, TestCollector, get_request};

/// Serves a request of each of them, in that order, and ends the agent.
#[cfg(test)]
async fn serve(builder: AgentBuilder, users: &[&str]) {
    let agent = builder
        .user_key("a secret")
        .user(|head| Some(head.headers.get("x-user")?.to_str().ok()?.into()))
        .start();
    let app = Router::new()
        .route("/users/{name}", get(async || flag("new-feed", "on")))
        .layer(agent.layer());
    for user in users {
        let mut request = get_request(&format!("/users/{user}?of={user}"));
        request
            .headers_mut()
            .insert("x-user", user.parse().unwrap());
        assert!(
            app.clone()
                .oneshot(request)
                .await
                .unwrap()
                .status()
                .is_success()
        );
    }
    assert!(agent.shutdown(SOON));
}

#[cfg(test)]
fn active(collector: &TestCollector) -> ActiveUsers {
    let mut all = ActiveUsers::new();
    for process in collector.processes() {
        all.unite(&process.active_users.unwrap());
    }
    all
}

#[tokio::test]
async fn no_body_holds_who_a_request_is_from() {
    const USERS: [&str; 3] = ["Xyzzy-Plugh", "Xyzzy-Plover", "Xyzzy-Fee-Fie-Foe"];
    let collector = TestCollector::start();
    serve(collector.agent().profile_one_in(1), &USERS).await;
    assert_eq!(active(&collector).estimate().round(), 3.0);
    let records = collector.requests();
    assert_eq!(records.len(), USERS.len());
    assert!(
        records
            .iter()
            .all(|record| record.endpoint == "/users/{name}")
    );
    for put in collector.puts() {
        let body = zstd::stream::decode_all(put.body.as_slice()).unwrap();
        let body = String::from_utf8_lossy(&body).to_lowercase();
        // The same search finds what is there.
        assert!(body.contains("/users/{name}"));
        for part in ["xyzzy", "plugh", "plover", "fee-fie"] {
            assert!(!body.contains(part), "{part} in {body}");
        }
    }
}

/// The sketch of the wire format's document, made by its words alone and read by other languages' libraries too.
#[tokio::test]
async fn users_become_what_the_wire_format_says() {
    let collector = TestCollector::start();
    // One span, whenever it begins.
    let builder = collector.agent().cell_width(Duration::from_secs(86_400));
    serve(
        builder.process_interval(Duration::from_secs(86_400)),
        &["user-1", "user-2"],
    )
    .await;
    let sketch = active(&collector)
        .to_bytes()
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
    let document = include_str!("../../docs/wire.md");
    assert!(
        document.contains(&format!("\"active_users\": \"{sketch}\"")),
        "{sketch}"
    );
}
