//! The pages as a reader meets them, over a query API in the same process.

mod functions;

use appweight::api::{DeployVerdict, ServiceSummary};
use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::{QueryClient, fixture, router};

const HOSTILE: &str = "<script>alert(\"1\")</script>' \u{202e}onload=x ../%2e&amp;";

async fn ask(client: QueryClient, path: &str) -> Response<Body> {
    let request = Request::get(path).body(Body::empty()).unwrap();
    router(client).oneshot(request).await.unwrap()
}

async fn page(client: QueryClient, path: &str) -> (StatusCode, String) {
    let answer = ask(client, path).await;
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn client() -> QueryClient {
    QueryClient::in_process(fixture::api())
}

/// What is left of `<main>` without drawings and tags, a line per element.
fn readable(html: &str) -> String {
    let main = html.split_once("<main").unwrap().1;
    let mut rest = main.split_once("</main>").unwrap().0;
    let mut out = String::new();
    while let Some(start) = rest.find("<svg") {
        out.push_str(&rest[..start]);
        rest = rest[start..].split_once("</svg>").unwrap().1;
    }
    out.push_str(rest);
    let inline = [
        "bdi", "/bdi", "code", "/code", "strong", "/strong", "small", "/small", "time", "/time",
    ];
    let mut text = String::new();
    for piece in out.split('<').skip(1) {
        let (tag, words) = piece.split_once('>').unwrap();
        if !inline.contains(&tag.split(' ').next().unwrap()) {
            text.push('\n');
        }
        text.push_str(words);
    }
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    lines
        .collect::<Vec<_>>()
        .join("\n")
        .replace('\u{202f}', " ")
}

#[tokio::test]
async fn the_overview_reads_well() {
    let (status, html) = page(client(), "/").await;
    assert_eq!(status, StatusCode::OK);
    insta::assert_snapshot!(readable(&html));
}

#[tokio::test]
async fn where_less_is_shown_than_was_asked_for_the_page_says_why() {
    let (_, html) = page(client(), "/?from_us=1").await;
    assert!(html.contains("There is nothing from before"));
    let (_, html) = page(client(), "/").await;
    assert!(!html.contains("There is nothing from"));
}

#[tokio::test]
async fn a_deploys_page_reads_well() {
    let (status, html) = page(client(), "/deploys/e8a6033").await;
    assert_eq!(status, StatusCode::OK);
    insta::assert_snapshot!(readable(&html));
}

#[tokio::test]
async fn trends_read_well() {
    let (status, html) = page(client(), "/trends").await;
    assert_eq!(status, StatusCode::OK);
    insta::assert_snapshot!(readable(&html));
}

#[tokio::test]
async fn flags_read_well() {
    let (status, html) = page(client(), "/flags").await;
    assert_eq!(status, StatusCode::OK);
    insta::assert_snapshot!(readable(&html));
}

#[tokio::test]
async fn the_fleet_reads_well() {
    let (status, html) = page(client(), "/processes").await;
    assert_eq!(status, StatusCode::OK);
    insta::assert_snapshot!(readable(&html));
}

#[tokio::test]
async fn requests_read_well() {
    let (status, html) = page(client(), "/endpoints/requests?endpoint=/upload&order=").await;
    assert_eq!(status, StatusCode::OK);
    insta::assert_snapshot!(
        readable(&html)
            .lines()
            .take(40)
            .collect::<Vec<_>>()
            .join("\n")
    );
}

#[tokio::test]
async fn every_deploy_is_marked_on_the_chart_and_linked() {
    let (_, html) = page(client(), "/").await;
    for d in fixture::deploys() {
        let href = format!(
            "/deploys/{}?service={}&amp;started_us={}",
            d.deploy.id,
            fixture::SERVICE,
            d.deploy.started_us
        );
        // In the chart and in the list.
        assert_eq!(html.matches(&href).count(), 2, "{href}");
    }
}

#[tokio::test]
async fn a_roll_back_is_told_from_the_deploy_it_repeats() {
    let again = &fixture::deploys()[9];
    let first = &fixture::deploys()[13];
    assert_eq!(again.deploy.id, first.deploy.id);
    let path = |us: u64| format!("/deploys/4e1f0c9?started_us={us}");
    let (_, html) = page(client(), &path(again.deploy.started_us)).await;
    assert!(html.contains("Lighter: /feed/timeline"));
    assert!(html.contains("Beside its own earlier run"));
    let (_, html) = page(client(), &path(first.deploy.started_us)).await;
    assert!(html.contains("First deploy"));
}

#[tokio::test]
async fn a_deploys_page_tells_what_it_costs_the_service_and_which_host_is_odd() {
    let (_, html) = page(client(), "/deploys/09c8e55").await;
    let text = readable(&html);
    for told in [
        "of the service's CPU",
        "of 5.3 cores",
        "Of 8 hosts that run it, host web-5 costs +41.0 %",
        "not so before the roll-out",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!html.contains("Beside its own earlier run"), "{text}");
}

#[tokio::test]
async fn only_what_still_moves_asks_again() {
    assert_eq!(fixture::deploys()[0].verdict, DeployVerdict::Pending);
    let (_, rolling) = page(client(), "/deploys/6d84b39").await;
    assert!(rolling.contains("data-refresh=\"3\""));
    assert!(rolling.contains("<noscript><meta http-equiv=\"refresh\""));
    let (_, judged) = page(client(), "/deploys/e8a6033").await;
    assert!(!judged.contains("data-refresh"));
}

#[tokio::test]
async fn an_unknown_deploy_is_a_404_in_the_collectors_words() {
    let (status, html) = page(client(), "/deploys/nope").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(
        html.contains("There is no deploy &quot;nope&quot;"),
        "{html}"
    );
}

#[tokio::test]
async fn an_address_without_a_page_is_a_404_page() {
    let (status, html) = page(client(), "/nowhere").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(html.contains("no page at this address"));
}

#[tokio::test]
async fn a_parameter_that_is_no_number_is_a_400() {
    let (status, html) = page(client(), "/?from_us=yesterday").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(html.contains("from_us"));
}

#[tokio::test]
async fn a_collector_out_of_reach_is_a_502() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = QueryClient::remote(&format!("http://{address}")).unwrap();
    let (status, html) = page(client, "/").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(html.contains("refused"), "{html}");
}

#[tokio::test]
async fn an_answer_that_is_not_ours_and_a_failing_collector_are_502s() {
    let odd = Router::new().route("/v1/services", get(|| async { "hello" }));
    let (status, html) = page(QueryClient::in_process(odd), "/").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(html.contains("not understood"));
    let failing = Router::new().route(
        "/v1/services",
        get(|| async { fixture::problem(StatusCode::SERVICE_UNAVAILABLE, "the store is full") }),
    );
    let (status, html) = page(QueryClient::in_process(failing), "/").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(html.contains("the store is full"));
}

fn services(names: &'static [&'static str]) -> QueryClient {
    let list: Vec<_> = names
        .iter()
        .map(|name| ServiceSummary {
            service: (*name).into(),
            first_us: 0,
            last_us: 1_000_000,
            deploy: None,
        })
        .collect();
    QueryClient::in_process(Router::new().route("/v1/services", get(|| async { Json(list) })))
}

#[tokio::test]
async fn without_data_the_page_says_what_to_do_and_without_choice_what_to_choose() {
    let (status, html) = page(services(&[]), "/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("No data yet") && html.contains("data-refresh"));
    let (status, html) = page(services(&["photo", "a&b"]), "/processes").await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("href=\"/processes?service=a%26b\""));
}

/// The fixture's API, with every name in it replaced by a hostile one.
fn hostile() -> QueryClient {
    async fn spoil(answer: axum::response::Response) -> axum::response::Response {
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let mut json = serde_json::from_slice(&body).unwrap();
        spoil_names(&mut json);
        (status, Json(json)).into_response()
    }
    fn spoil_names(json: &mut serde_json::Value) {
        const NAMES: [&str; 18] = [
            "service",
            "id",
            "title",
            "author",
            "replaced",
            "headline",
            "text",
            "endpoint",
            "base",
            "head",
            "host",
            "deploy",
            "detail",
            "instructions_absent_because",
            "value",
            "source",
            "name",
            "file",
        ];
        match json {
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    if value.is_string() && NAMES.contains(&name.as_str()) {
                        *value = HOSTILE.into();
                    } else if name == "link" {
                        *value = "javascript:alert(1)".into();
                    } else if ["path", "within"].contains(&name.as_str()) && value.is_array() {
                        for part in value.as_array_mut().unwrap() {
                            *part = HOSTILE.into();
                        }
                    } else {
                        spoil_names(value);
                    }
                }
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(spoil_names),
            _ => {}
        }
    }
    QueryClient::in_process(fixture::api().layer(axum::middleware::map_response(spoil)))
}

#[tokio::test]
async fn hostile_names_stay_text_on_every_page() {
    for path in [
        "/",
        "/deploys/e8a6033",
        "/deploys/nope",
        "/processes",
        "/endpoints/requests",
    ] {
        let (_, html) = page(hostile(), path).await;
        assert!(html.contains("&lt;script&gt;alert"), "{path}");
        assert!(!html.contains("<script>"), "{path}");
        assert!(!html.contains("alert(\""), "{path}");
        assert!(!html.contains("href=\"javascript:"), "{path}");
    }
}

#[tokio::test]
async fn a_flame_graph_may_run_its_script_but_reaches_nothing() {
    let path =
        "/profiles/flamegraph.svg?base=d0f4b72&head=e8a6033&endpoint=/users/x&timer=cpu&x%26y=1";
    let answer = ask(client(), path).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "image/svg+xml");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    let policy = answer.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(policy.contains("sandbox allow-scripts;") && !policy.contains("allow-same-origin"));
    let (_, svg) = page(client(), path).await;
    assert!(svg.contains("photos::cache::region_of"), "{svg}");
    let (_, svg) = page(hostile(), path).await;
    assert!(svg.contains("&lt;script&gt;alert"), "{svg}");
    assert!(
        !svg.contains("<script>alert") && !svg.contains("onload=x\""),
        "{svg}"
    );
    let (status, html) = page(
        client(),
        "/profiles/flamegraph.svg?base=a&head=b&endpoint=/upload",
    )
    .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(html.contains("it was not profiled"), "{html}");
    let (status, _) = page(client(), "/profiles/flamegraph.svg?base=a").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_very_long_name_is_shown_whole_to_those_who_look() {
    let long = "x".repeat(4000);
    let (status, html) = page(client(), &format!("/deploys/{long}")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(html.contains(&long));
}

#[tokio::test]
async fn nothing_inline_and_nothing_from_elsewhere_may_run() {
    for path in [
        "/",
        "/deploys/e8a6033",
        "/processes",
        "/endpoints/requests",
        "/deploys/nope",
    ] {
        let answer = ask(client(), path).await;
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(policy.starts_with("default-src 'self'") && !policy.contains("unsafe"));
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let (_, html) = page(client(), path).await;
        // What the policy forbids would be dropped by the browser without a word.
        assert!(
            !html.contains(" style=") && !html.contains("<style"),
            "{path}"
        );
        assert!(!html.contains(" onclick="), "{path}");
        assert_eq!(html.matches("<script").count(), 1, "{path}");
    }
}

#[tokio::test]
async fn assets_are_found_by_the_pages_and_kept_for_a_year() {
    let (_, html) = page(client(), "/").await;
    for attribute in ["stylesheet\" href=\"", "script src=\""] {
        let href = html.split_once(attribute).unwrap().1;
        let href = href.split_once('"').unwrap().0;
        let answer = ask(client(), href).await;
        assert_eq!(answer.status(), StatusCode::OK, "{href}");
        let cache = answer.headers()["cache-control"].to_str().unwrap();
        assert!(cache.contains("immutable"), "{cache}");
    }
}

#[tokio::test]
async fn over_the_network_the_pages_are_the_same() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, fixture::api()).await });
    for path in ["/", "/deploys/e8a6033", "/processes", "/endpoints/requests"] {
        let remote = QueryClient::remote(&format!("http://{address}/")).unwrap();
        let (status, far) = page(remote, path).await;
        let (_, near) = page(client(), path).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            far.replace(&format!("http://{address}"), ""),
            near,
            "{path}"
        );
    }
    server.abort();
}
