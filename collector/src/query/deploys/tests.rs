use appweight_wire::EndpointCount;
use serde_json::{Value, json};

use crate::testing::{Bench, NOON, SECOND, batch, cell, process};

const HOSTS: u64 = 8;

/// A minute of a deploy on eight hosts of a store, one of which takes so much more CPU for the same requests.
async fn serve(bench: &Bench, deploy: &str, start: u64, slow: u64, percent: u64) {
    for host in 0..HOSTS {
        let source = u128::from(start) * 100 + u128::from(host);
        let mut sent = batch(source, start, deploy);
        sent.origin.host = format!("web-{host}");
        for second in 0..60 {
            let start_us = NOON + (start + second) * SECOND;
            let of_host = if host == slow { percent } else { 100 };
            // A wave of some per cent in place of noise, and hosts that differ by one.
            let cost = 20_000 * of_host * (100 + host % 3) * (97 + (second * 3 + host * 5) % 7);
            let costs = vec![cost / 10_000; 50];
            let mut record = process(start_us, 5);
            record.process_age_us = (second + 1) * SECOND;
            record.cpu_ns = costs.iter().sum::<u64>() + 1_000_000;
            record.endpoints = vec![EndpointCount {
                endpoint: "/feed".to_owned(),
                requests: 50,
                errors: 0,
            }];
            let mut cell = cell(start_us, &costs);
            cell.key.endpoint = "/feed".to_owned();
            sent.cells.push(cell);
            sent.processes.push(record);
        }
        assert_eq!(bench.put_batch(&sent).await.status.as_u16(), 201);
    }
}

async fn hosts(slow: u64, percent: u64) -> Value {
    let bench = Bench::with(|options| options.body_limit = 1 << 20);
    serve(&bench, "a", 0, slow, 100).await;
    let start =
        json!({"service": "photo", "id": "b", "started_us": NOON + 60 * SECOND, "replaced": "a"});
    assert_eq!(bench.post_deploy(start).await.status, 201);
    serve(&bench, "b", 60, slow, percent).await;
    bench.at(NOON + 125 * SECOND);
    let mut answer = bench.get("/v1/deploys/b").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["hosts"].take()
}

#[tokio::test]
async fn one_bad_host_of_eight_is_named_and_of_equal_ones_none() {
    let found = hosts(5, 140).await;
    assert_eq!(found["hosts"], HOSTS, "{found}");
    let odd = found["odd"].as_array().unwrap();
    assert_eq!(odd.len(), 1, "{found}");
    assert_eq!(odd[0]["host"], "web-5");
    let near = |name: &str, wanted: f64| {
        let value = odd[0][name].as_f64().unwrap();
        assert!((value - wanted).abs() < 0.02, "{name} {found}");
    };
    near("relative", 0.41);
    near("relative_before", 0.0);
    assert_eq!(hosts(5, 100).await["odd"], json!([]));
}

#[tokio::test]
async fn a_roll_back_is_set_beside_its_own_earlier_run() {
    let bench = Bench::new();
    bench
        .post_deploy(json!({"service": "photo", "id": "a", "started_us": NOON}))
        .await;
    bench.roll_out(60, ["a", "b"], [20_000, 26_000]).await;
    bench.collector.watch_once().await.unwrap();
    bench.roll_out(600, ["b", "a"], [26_000, 20_000]).await;
    let first = bench
        .get(&format!("/v1/deploys/b?started_us={}", NOON + 60 * SECOND))
        .await;
    assert!(first.body["earlier_run"].is_null(), "{first:?}");
    let back = bench.get("/v1/deploys/a").await.body;
    let run = &back["earlier_run"];
    assert_eq!(run["started_us"], NOON, "{back}");
    assert_eq!(
        (&run["roll_outs_since"], &run["unknown"]),
        (&json!(2), &json!([]))
    );
    let change = &run["endpoints"][0]["change"];
    let figure = |name: &str| change[name].as_f64().unwrap();
    assert!(figure("relative").abs() < 0.02, "{run}");
    assert!(figure("low") < 0.0 && figure("high") > 0.0, "{run}");
    // Against what it replaced it is lighter.
    let against = &back["comparison"]["endpoints"][0]["change"]["relative"];
    assert!(against.as_f64().unwrap() < -0.2, "{back}");
}
