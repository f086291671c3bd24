//! Every variant answers as the good build does; only its cost differs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::time::Duration;

use common::{Database, ask};
use http::Method;
use photo_backend::truth::{TruthError, TruthOptions, measure};
use photo_backend::{Endpoint, Variant, Variants};

#[tokio::test]
async fn the_answers_are_the_same_bytes() {
    let database = Database::new();
    let good = database.service(Variants::default());
    let mut services: Vec<_> = Variant::ALL
        .into_iter()
        .map(|variant| (variant.to_string(), Variants::default().with(variant)))
        .collect();
    services.push(("all".into(), Variant::ALL.into_iter().collect()));
    for (name, variants) in services {
        let service = database.service(variants);
        for user in [1, 17, 60] {
            for path in ["/feed", "/users/9/timeline", "/stories", "/inbox"] {
                let (status, expected) = ask(&good, Method::GET, path, user, "").await;
                assert!(status.is_success());
                let (_, found) = ask(&service, Method::GET, path, user, "").await;
                if path == "/feed" && variants.has(Variant::StoriesPrefetch) {
                    let found = std::str::from_utf8(&found).unwrap();
                    let found = found.replacen("\"prefetch_stories\":true,", "", 1);
                    assert_eq!(found.as_bytes(), expected);
                } else {
                    assert_eq!(found, expected, "{name} {path}");
                }
            }
        }
    }
}

/// So long that a tenth of what /feed costs is seen on a busy machine.
const LONG: Duration = Duration::from_secs(9);

fn options(database: &Database, variant: Variant, also: Variants) -> TruthOptions {
    TruthOptions {
        variant,
        also,
        database: database.path.clone(),
        duration: LONG,
        rate: 300.0,
        seed: 1,
    }
}

#[test]
fn the_truth_finds_the_queries_one_by_one_beside_another_variant() {
    let database = Database::new();
    let also = Variants::default().with(Variant::InboxBatched);
    let truth = measure(&options(&database, Variant::FeedEachAuthor, also)).unwrap();
    assert_eq!(truth.also, [Variant::InboxBatched]);
    let feed = &truth.endpoints[0];
    assert_eq!(feed.endpoint, Endpoint::Feed.template());
    // Some 9 to 15 %, with all of the interval above none.
    assert!(feed.low > 0.0 && feed.change > 0.05, "{truth:?}");
    assert!(
        feed.low < feed.change && feed.change < feed.high,
        "{truth:?}"
    );
    assert!(
        feed.base_ns > 10_000.0 && feed.base_ns < feed.variant_ns,
        "{truth:?}"
    );
    assert_eq!(truth.memory, None);
}

#[test]
fn a_variant_is_not_compared_with_itself() {
    let database = Database::new();
    let also = Variants::default().with(Variant::InboxLeak);
    let error = measure(&options(&database, Variant::InboxLeak, also)).unwrap_err();
    assert!(matches!(error, TruthError::AlreadyOn(Variant::InboxLeak)));
}
