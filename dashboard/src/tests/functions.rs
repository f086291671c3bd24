use appweight::api::{Detected, DetectedChange, DetectedVerdict};
use appweight_wire::Kind;
use axum::extract::Path;

use super::*;

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
    let cost =
        "; the timer’s own cost of up to 35.2 ns a call is taken off; ±4.00 ns a call may remain";
    assert!(after.contains(cost), "{after}");
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
        cost: None,
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
