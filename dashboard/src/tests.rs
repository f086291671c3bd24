//! The pages as a reader meets them, over a query API in the same process.

use appweight::api::{DeployVerdict, Detected, DetectedChange, DetectedVerdict, ServiceSummary};
use appweight_wire::Kind;
use axum::body::Body;
use axum::extract::Path;
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
async fn a_deploys_page_reads_well() {
    let (status, html) = page(client(), "/deploys/e8a6033").await;
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
    let (_, html) = page(client(), &path(first.deploy.started_us)).await;
    assert!(html.contains("First deploy"));
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
async fn functions_are_shown_of_flagged_endpoints_or_it_is_said_why_not() {
    let (_, html) = page(client(), "/deploys/e8a6033").await;
    let text = readable(&html);
    let after = text.split_once("\nFunctions\n").unwrap().1;
    assert!(
        after.starts_with("allocated\ncpu\nuser_cpu (sampled)\n/users/{id}/timeline\n"),
        "{after}"
    );
    assert!(after.contains("photos::cache::region_of"), "{after}");
    let address = html.split_once("img src=\"").unwrap().1;
    let address = address.split_once('"').unwrap().0.replace("&amp;", "&");
    assert_eq!(ask(client(), &address).await.status(), StatusCode::OK);
    assert!(after.contains("e8a6033 was served by 2 builds"), "{after}");
    // By what else they can be told.
    let shown = html
        .split_once("aria-label=\"What functions are told by\"")
        .unwrap()
        .1;
    assert!(
        shown.contains("timer=allocated&amp;taken=scopes#functions\"><bdi>allocated</bdi></a>"),
        "{shown}"
    );
    assert!(
        shown.contains("aria-current=\"true\"><bdi>cpu</bdi></a>"),
        "{shown}"
    );
    assert!(
        shown.contains("<bdi>user_cpu</bdi> (sampled)</a>"),
        "{shown}"
    );
    let (_, html) = page(client(), "/deploys/e8a6033?timer=allocated&taken=scopes").await;
    assert!(readable(&html).contains("By allocated of 432"), "{html}");
    // A leak is no endpoint's: it is told where most is allocated.
    let (_, html) = page(client(), "/deploys/1c7f5a8").await;
    let text = readable(&html);
    let after = text.split_once("\nFunctions\n").unwrap().1;
    assert!(after.contains("/feed/timeline\nmemory\n"), "{after}");
    assert!(after.contains("By allocated of 432"), "{after}");
    assert!(after.contains("ran the same build"), "{after}");
    // An improvement of an endpoint that nobody profiled, and a deploy that changed nothing.
    let (_, html) = page(client(), "/deploys/c51e9d4").await;
    assert!(html.contains("it was not profiled"), "{html}");
    let (_, html) = page(client(), "/deploys/d0f4b72").await;
    assert!(!html.contains("id=\"functions\""), "{html}");
}

/// The fixture's API with a detector that judges the roll-outs and says that of these endpoints and of all together.
fn detected(said: &[(&str, DetectedVerdict)], total: DetectedVerdict) -> QueryClient {
    let change = |endpoint: Option<&str>, verdict| DetectedChange {
        kind: endpoint.map(|_| Kind::Request),
        endpoint: endpoint.map(str::to_owned),
        verdict,
        change: None,
        sure_since_us: None,
        more_requests: None,
        checks: Vec::new(),
    };
    let detected = Detected {
        judges: true,
        endpoints: said
            .iter()
            .map(|(endpoint, verdict)| change(Some(endpoint), *verdict))
            .collect(),
        total: Some(change(None, total)),
        ..Detected::silent(String::new(), false)
    };
    let report = move |Path(id): Path<String>| async move {
        let mut all = fixture::deploys().into_iter();
        let mut report = fixture::report(all.find(|one| one.deploy.id == id).unwrap());
        report.detected = Some(detected);
        Json(report)
    };
    let api = Router::new().route("/v1/deploys/{id}", get(report));
    QueryClient::in_process(api.fallback_service(fixture::api()))
}

/// Whose functions the page shows.
fn looked_into(html: &str) -> Vec<&str> {
    let headings = html.split("<h3 class=\"endpoint\"><bdi>").skip(1);
    headings
        .map(|rest| rest.split_once('<').unwrap().0)
        .collect()
}

#[tokio::test]
async fn functions_are_shown_of_what_the_detector_calls_where_it_judges() {
    use DetectedVerdict::{Improved, Regressed, Unchanged, Undecided, Withheld};
    // The comparison flags another endpoint, or nothing, or there is none yet. The detector tells the largest change first.
    let called = [
        ("/seen", Regressed),
        ("/new", Improved),
        ("/inbox", Withheld),
        ("/feed/timeline", Improved),
        ("/users/{id}/timeline", Undecided),
    ];
    for (deploy, shown) in [
        ("e8a6033", ["/feed/timeline", "/inbox", "/seen", "/new"]),
        ("d0f4b72", ["/feed/timeline", "/inbox", "/seen", "/new"]),
        ("6d84b39", ["/seen", "/new", "/inbox", "/feed/timeline"]),
    ] {
        let client = detected(&called, Undecided);
        let (_, html) = page(client, &format!("/deploys/{deploy}")).await;
        assert_eq!(looked_into(&html), shown, "{deploy}");
        assert!(html.contains("photos::cache::region_of"), "{html}");
    }
    // What only the comparison flags is not the verdict.
    let (_, html) = page(
        detected(&[("/seen", Unchanged)], Unchanged),
        "/deploys/e8a6033",
    )
    .await;
    assert!(!html.contains("id=\"functions\""), "{html}");
    let names: Vec<String> = (0..9).map(|n| format!("/{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), Improved)).collect();
    let (_, html) = page(detected(&many, Improved), "/deploys/6d84b39").await;
    assert_eq!(looked_into(&html), names[..6]);
}

#[tokio::test]
async fn functions_of_the_costliest_are_shown_where_only_all_together_are_called() {
    use DetectedVerdict::{Regressed, Undecided};
    let said = [("/inbox", Undecided), ("/feed/timeline", Undecided)];
    let (_, html) = page(detected(&said, Regressed), "/deploys/d0f4b72").await;
    assert_eq!(looked_into(&html), ["/feed/timeline", "/inbox"]);
    assert!(html.contains("none of them surely by itself"), "{html}");
    let (_, html) = page(detected(&said, Undecided), "/deploys/d0f4b72").await;
    assert!(!html.contains("id=\"functions\""), "{html}");
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
