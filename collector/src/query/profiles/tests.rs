use appweight::api::{ProfileDiff, ProfileSummary, ProfileView};
use appweight::profile::{Timer, TimerCost, folded, of_tree};
use appweight_wire::{Format, ProfileRecord, Taken, encode};
use serde::de::DeserializeOwned;

use crate::testing::{Bench, NOON, SECOND, batch, profile};

/// Deploys `a` and `b`, each profiled in 20 spans; `b` asks the database for twice as much.
async fn two_deploys() -> Bench {
    let bench = Bench::new();
    for (source, deploy, query) in [(1, "a", 1_000), (2, "b", 2_000)] {
        let mut batch = batch(source, 0, deploy);
        for second in 0..20 {
            let noise = i64::try_from(second % 5).unwrap();
            let stacks = [
                ("feed;tokio::runtime::run;query", query + noise),
                ("feed;render", 3_000 - noise),
                ("feed", 100),
            ];
            batch
                .profiles
                .push(profile(NOON + second * SECOND, &stacks));
        }
        assert_eq!(bench.put_batch(&batch).await.status.as_u16(), 201);
    }
    bench
}

async fn ask<T: DeserializeOwned>(bench: &Bench, uri: &str) -> T {
    let answer = bench.get(uri).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    serde_json::from_value(answer.body).unwrap()
}

async fn put(bench: &Bench, sequence: u64, profiles: Vec<ProfileRecord>) {
    let mut batch = batch(3, sequence, "a");
    batch.profiles = profiles;
    assert_eq!(bench.put_batch(&batch).await.status.as_u16(), 201);
}

#[tokio::test]
async fn a_profile_comes_merged_with_its_replicates() {
    let bench = two_deploys().await;
    let list: Vec<ProfileSummary> = ask(&bench, "/v1/profiles?deploy=a").await;
    assert_eq!((list.len(), list[0].requests), (1, 20));
    let view: ProfileView = ask(&bench, "/v1/profile?deploy=a&endpoint=/feed&timer=cpu").await;
    assert_eq!(view.summary, list[0]);
    assert_eq!(view.tree.replicates.len(), 16);
    let of = &view.summary.of;
    let whole = of_tree(&view.tree, Timer::new(&of.timer, &of.unit), of.taken);
    assert_eq!(
        folded::write(&whole),
        "feed 2000\nfeed;tokio::runtime::run;query 20040\nfeed;render 59960\n"
    );
    let small: ProfileView = ask(&bench, "/v1/profile?deploy=a&nodes=2").await;
    assert_eq!((small.tree.parents.len(), small.tree.folded), (2, 3));
    let own: i64 = small.tree.own.iter().flatten().sum();
    assert_eq!(own, whole.total());
}

#[tokio::test]
async fn a_difference_names_the_function_with_its_interval() {
    let bench = two_deploys().await;
    let found: ProfileDiff = ask(&bench, "/v1/profile/diff?base=a&head=b&endpoint=/feed").await;
    assert_eq!(
        (found.of.timer.as_str(), found.of.taken),
        ("cpu", Taken::Scopes)
    );
    let first = &found.diff.functions[0];
    assert_eq!(first.function.name, "query");
    assert!(first.own.is_sure() && (first.own.difference() - 1_000.0).abs() < 1.0);
    assert_eq!(found.diff.requests, [20, 20]);
    assert_eq!(found.diff.culprit.unwrap().path, ["feed", "query"]);
    let raw = "/v1/profile/diff?base=a&head=b&raw=true&limit=1&confidence=0.9";
    let raw: ProfileDiff = ask(&bench, raw).await;
    assert_eq!((raw.diff.functions.len(), raw.functions_total), (1, 4));
    assert_eq!(raw.diff.confidence, 0.9);
    assert_eq!(
        raw.diff.culprit.unwrap().path,
        ["feed", "tokio::runtime::run", "query"]
    );
}

#[tokio::test]
async fn sampled_stacks_are_shown_where_scopes_tell_of_no_function() {
    let bench = Bench::new();
    let sampled = |second: u64, deploy_cost: i64| {
        let mut profile = profile(NOON + second * SECOND, &[("feed;query", deploy_cost)]);
        profile.taken = Taken::Sampled;
        profile.samples = 1;
        profile.timers[0].name = "user_cpu".into();
        profile
    };
    for (source, deploy, cost) in [(1, "a", 1_000), (2, "b", 2_000)] {
        let mut batch = batch(source, 0, deploy);
        for second in 0..20 {
            batch.profiles.push(profile(NOON + second * SECOND, &[]));
            batch.profiles.push(sampled(second, cost));
        }
        assert_eq!(bench.put_batch(&batch).await.status.as_u16(), 201);
    }
    let view: ProfileView = ask(&bench, "/v1/profile?deploy=a").await;
    assert_eq!(view.summary.of.timer, "user_cpu");
    let found: ProfileDiff = ask(&bench, "/v1/profile/diff?base=a&head=b").await;
    assert_eq!(found.of.taken, Taken::Sampled);
    assert_eq!(found.diff.functions[0].function.name, "query");
    // What was asked for is answered, also if it tells little.
    let view: ProfileView = ask(&bench, "/v1/profile?deploy=a&taken=scopes").await;
    assert_eq!(
        (view.summary.of.timer.as_str(), view.tree.parents.len()),
        ("cpu", 1)
    );
}

#[tokio::test]
async fn builds_are_kept_and_told_of_both_sides() {
    let bench = Bench::new();
    for (source, deploy, builds) in [(1, "a", ["5f0c", "5f0c"]), (2, "b", ["5f0c", "a1"])] {
        let mut batch = batch(source, 0, deploy);
        for (second, build) in (0..).zip(builds) {
            let mut profile = profile(NOON + second * SECOND, &[("feed", 7)]);
            profile.builds = vec![build.into()];
            batch.profiles.push(profile);
        }
        assert_eq!(bench.put_batch(&batch).await.status.as_u16(), 201);
    }
    let view: ProfileView = ask(&bench, "/v1/profile?deploy=b").await;
    assert_eq!(view.tree.builds.iter().collect::<Vec<_>>(), ["5f0c", "a1"]);
    let found: ProfileDiff = ask(&bench, "/v1/profile/diff?base=a&head=b").await;
    assert_eq!(
        found.diff.builds.each_ref().map(|builds| builds.count()),
        [1, 2]
    );
    assert_eq!(found.diff.same_build(), None);
    let same: ProfileDiff = ask(&bench, "/v1/profile/diff?base=a&head=a").await;
    assert_eq!(same.diff.same_build(), Some("5f0c"));
}

#[tokio::test]
async fn what_the_timer_cost_is_told_of_one_and_of_both_sides() {
    let bench = Bench::new();
    for (source, deploy, taken_off_milli) in [(1, "a", 35_000), (2, "b", 31_000)] {
        let mut batch = batch(source, 0, deploy);
        let mut profile = profile(NOON, &[("tokio::runtime::run;feed", 7)]);
        profile.timers[0].taken_off_milli = taken_off_milli;
        profile.timers[0].left_milli = 4_000;
        batch.profiles.push(profile);
        assert_eq!(bench.put_batch(&batch).await.status.as_u16(), 201);
    }
    let cost = |taken_off_milli| TimerCost {
        taken_off_milli,
        left_milli: 4_000,
    };
    let view: ProfileView = ask(&bench, "/v1/profile?deploy=b&nodes=1").await;
    assert_eq!(view.tree.timer_cost, cost(31_000));
    let found: ProfileDiff = ask(&bench, "/v1/profile/diff?base=a&head=b").await;
    assert_eq!(found.diff.timer_cost, cost(35_000));
}

#[tokio::test]
async fn json_batches_bring_profiles_too() {
    let bench = Bench::new();
    let mut batch = batch(1, 0, "a");
    batch.profiles = vec![profile(NOON, &[("feed", 7)])];
    let body = encode(&batch, Format::Json);
    let answer = bench
        .put(&batch.id().to_string(), "application/json", body)
        .await;
    assert_eq!(answer.status.as_u16(), 201, "{answer:?}");
    let list: Vec<ProfileSummary> = ask(&bench, "/v1/profiles?deploy=a").await;
    assert_eq!(list[0].requests, 1);
    let metrics = bench.get("/metrics").await.body.to_string();
    assert!(
        metrics.contains("appweight_collector_records_total{kind=\\\"profile\\\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn whatever_is_not_there_is_named_with_what_is() {
    let bench = two_deploys().await;
    let said = async |uri: &str, status: u16, field: &str, there: &str| {
        let answer = bench.get(uri).await;
        answer.assert_problem(status, Some(field));
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(there), "{uri}: {detail}");
    };
    said("/v1/profiles?deploy=x", 404, "deploy", "b, a").await;
    said("/v1/profile", 400, "deploy", "must be given").await;
    said("/v1/profile?deploy=a&endpoint=/x", 404, "endpoint", "/feed").await;
    said("/v1/profile?deploy=a&timer=wall", 404, "timer", "cpu").await;
    said(
        "/v1/profile?deploy=a&taken=sampled",
        404,
        "taken",
        "taken=scopes",
    )
    .await;
    said(
        "/v1/profile?deploy=a&taken=guessed",
        400,
        "taken",
        "scopes or sampled",
    )
    .await;
    said("/v1/profile?deploy=a&nodes=0", 400, "nodes", "1 to").await;
    said("/v1/profile/diff?base=a", 400, "head", "must be given").await;
    said("/v1/profile/diff?base=a&head=x", 404, "head", "b, a").await;
    said(
        "/v1/profile/diff?base=a&head=b&confidence=1",
        400,
        "confidence",
        "0.5",
    )
    .await;
    said("/v1/profile/diff?base=a&head=b&raw=1", 400, "raw", "true").await;

    // Two endpoints, then a deploy without profiles, then nothing alike.
    let mut other = profile(NOON, &[("inbox", 5)]);
    other.endpoint = "/inbox".into();
    put(&bench, 0, vec![other]).await;
    said("/v1/profile?deploy=a", 400, "endpoint", "/feed, /inbox").await;
    said(
        "/v1/profile/diff?base=a&head=b&endpoint=/inbox",
        404,
        "endpoint",
        "/feed",
    )
    .await;
    let posted = serde_json::json!({"service": "photo", "id": "empty"});
    bench.post_deploy(posted).await;
    said("/v1/profile?deploy=empty", 404, "deploy", "none came").await;
    let mut sampled = profile(NOON, &[("feed", 5)]);
    (sampled.taken, sampled.endpoint) = (Taken::Sampled, String::new());
    (sampled.requests, sampled.samples) = (0, 1);
    put(&bench, 1, vec![sampled]).await;
    said(
        "/v1/profile/diff?base=a&head=b&endpoint=",
        404,
        "endpoint",
        "/feed",
    )
    .await;
    said(
        "/v1/profile/diff?base=a&head=a&endpoint=",
        409,
        "endpoint",
        "no requests",
    )
    .await;
    let whole: ProfileView = ask(&bench, "/v1/profile?deploy=a&endpoint=").await;
    assert_eq!((whole.summary.requests, whole.summary.samples), (0, 1));
}
