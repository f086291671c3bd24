use axum::body::Body;
use http::Request;
use serde_json::json;

use super::*;
use crate::testing::{Answer, Bench, NOON, batch, cell};

const ALL: &str = "may-write-all-0123456789";
const PHOTO: &str = "may-write-photo-01234567";
const OTHER: &str = "may-write-other-01234567";
const READ: &str = "may-read-0123456789abcdef";

fn bench() -> Bench {
    Bench::with(|options| {
        let list = format!(
            "# for the fleet\nwrite {ALL}\n\nwrite photo {PHOTO}\n  write other {OTHER}\nread {READ}\n"
        );
        options.access.add_list(&list).unwrap();
    })
}

fn with(request: http::request::Builder, authorization: Option<&str>) -> http::request::Builder {
    match authorization {
        Some(value) => request.header(header::AUTHORIZATION, value),
        None => request,
    }
}

async fn put(bench: &Bench, authorization: Option<&str>) -> Answer {
    let mut batch = batch(1, 0, "a");
    batch.cells = vec![cell(NOON, &[5])];
    let request = with(
        Request::put(format!("/v1/batches/{}", batch.id())),
        authorization,
    );
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let body = serde_json::to_vec(&batch).unwrap();
    bench.send(request.body(Body::from(body)).unwrap()).await
}

async fn get(bench: &Bench, uri: &str, authorization: Option<&str>) -> Answer {
    let request = with(Request::get(uri), authorization);
    bench.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn whoever_writes_needs_a_token_of_that_service() {
    let bench = bench();
    for wrong in [
        None,
        Some("Bearer"),
        Some("Bearer nobody-knows-this-one"),
        Some(&format!("Bearer {READ}") as &str),
        Some(ALL),
    ] {
        let answer = put(&bench, wrong).await;
        answer.assert_problem(401, Some("authorization"));
        assert_eq!(
            answer.headers[header::WWW_AUTHENTICATE],
            "Bearer realm=\"AppWeight\""
        );
        assert!(!answer.body.to_string().contains("nobody-knows"));
    }
    put(&bench, Some(&format!("Bearer {OTHER}")))
        .await
        .assert_problem(403, Some("origin.service"));
    for right in [PHOTO, ALL] {
        let answer = put(&bench, Some(&format!("bearer {right}"))).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }
}

#[tokio::test]
async fn whoever_announces_a_deploy_needs_a_token_of_that_service() {
    let bench = bench();
    let post = async |token: Option<&str>| {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let request = with(Request::post("/v1/deploys"), authorization.as_deref());
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let body = json!({"service": "photo", "id": "a"}).to_string();
        bench.send(request.body(Body::from(body)).unwrap()).await
    };
    post(None).await.assert_problem(401, Some("authorization"));
    post(Some(READ))
        .await
        .assert_problem(401, Some("authorization"));
    post(Some(OTHER)).await.assert_problem(403, Some("service"));
    assert_eq!(post(Some(PHOTO)).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn whoever_reads_needs_a_token_for_reading() {
    let bench = bench();
    let read = format!("Bearer {READ}");
    // As a browser sends it: `reader:` and the token, in base64.
    let basic = "Basic cmVhZGVyOm1heS1yZWFkLTAxMjM0NTY3ODlhYmNkZWY=";
    for uri in ["/v1/services", "/v1/requests", "/metrics"] {
        for wrong in [
            None,
            Some(&format!("Bearer {ALL}") as &str),
            Some("Basic !"),
        ] {
            get(&bench, uri, wrong)
                .await
                .assert_problem(401, Some("authorization"));
        }
        for right in [&read as &str, basic] {
            // There is nothing to read yet, and that is told to whoever may know.
            let status = get(&bench, uri, Some(right)).await.status;
            assert!(
                [StatusCode::OK, StatusCode::NOT_FOUND].contains(&status),
                "{uri}: {status}"
            );
        }
    }
    for open in ["/healthz", "/v1/openapi.json"] {
        assert_eq!(get(&bench, open, None).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn pages_ask_the_browser() {
    let mut access = Access::default();
    access.allow_read(READ.parse().unwrap());
    let pages = || {
        let page = axum::routing::get(async || "a page");
        access.guard_pages(axum::Router::new().route("/", page))
    };
    let ask = async |authorization: Option<&str>| {
        let request = with(Request::get("/"), authorization);
        let request = request.body(Body::empty()).unwrap();
        tower::ServiceExt::oneshot(pages(), request).await.unwrap()
    };
    let answer = ask(None).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let challenge = answer.headers()[header::WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.starts_with("Basic "), "{challenge}");
    let basic = "Basic cmVhZGVyOm1heS1yZWFkLTAxMjM0NTY3ODlhYmNkZWY=";
    assert_eq!(ask(Some(basic)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn without_tokens_nobody_is_asked() {
    let bench = Bench::new();
    assert_eq!(put(&bench, None).await.status, StatusCode::CREATED);
    assert_eq!(
        get(&bench, "/v1/services", None).await.status,
        StatusCode::OK
    );
    assert!(!Access::default().is_closed());
}

#[test]
fn what_is_no_token_is_refused_without_showing_it() {
    for (list, error) in [
        ("read short", "line 1: a token has 16"),
        (
            "\nread with=an=equals=sign=in=it",
            "line 2: a token has letters",
        ),
        ("readmay-read-0123456789abcdef", "line 1 is none of"),
        ("write a b may-write-0123456789", "line 1 is none of"),
    ] {
        let refused = Access::default().add_list(list).unwrap_err().to_string();
        assert!(refused.starts_with(error), "{refused}");
        assert!(!refused.contains("0123456789"), "{refused}");
    }
    let token: Token = READ.parse().unwrap();
    assert_eq!(format!("{token:?}"), "Token(…)");
}

#[tokio::test]
async fn the_collectors_own_agent_writes_its_service_alone_and_closes_nothing() {
    const OWN: &str = "of-the-collector-0123456789";
    let own = |service: &str| {
        let mut access = Access::default();
        access.allow_own(service, OWN.parse().unwrap());
        access
    };
    let bearer = format!("Bearer {OWN}");
    let open = Bench::with(|options| options.access = own("photo"));
    assert_eq!(put(&open, None).await.status, StatusCode::CREATED);
    for (service, status) in [
        ("photo", StatusCode::CREATED),
        ("other", StatusCode::FORBIDDEN),
    ] {
        let closed = Bench::with(|options| {
            options.access = own(service);
            options.access.allow_write(None, ALL.parse().unwrap());
        });
        assert_eq!(put(&closed, None).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(put(&closed, Some(&bearer)).await.status, status);
    }
    let mut headers = HeaderMap::new();
    assert!(!own("photo").is_own(&headers));
    headers.insert(header::AUTHORIZATION, bearer.parse().unwrap());
    assert!(own("photo").is_own(&headers) && !Access::default().is_own(&headers));
}
