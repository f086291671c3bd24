//! Numbers as large as they are taken: whoever may send batches may send these, and every question is answered all the same.

use appweight_wire::limits::COUNT;
use appweight_wire::{Batch, Cell, Distribution, EndpointCount, Flag, RequestRecord, Wide};

use crate::testing::{Bench, NOON, SECOND, batch, cell, process};

const LARGE: Wide = Wide(u128::MAX);

fn distribution() -> Distribution {
    Distribution {
        n: COUNT,
        sum: u64::MAX,
        sum_squares: LARGE,
        sum_logs: u64::MAX,
        sum_squared_logs: LARGE,
        min: 0,
        max: u64::MAX,
        histogram: vec![(495, COUNT)],
    }
}

fn largest(source: u128, second: u64, deploy: &str) -> Batch {
    let start_us = NOON + second * SECOND;
    let mut batch = batch(source, second, deploy);
    for flag in [None, Some("on"), Some("off")] {
        let mut large = cell(start_us, &[]);
        large.key.flag = flag.map(|value| Flag {
            name: "ranker".into(),
            value: value.into(),
        });
        let metric = || Some(distribution());
        batch.cells.push(Cell {
            n: COUNT,
            weight: COUNT,
            errors: COUNT,
            scaled: COUNT,
            unfinished: COUNT,
            instructions: metric(),
            cpu_ns: metric(),
            wall_ns: metric(),
            allocated_bytes: metric(),
            ..large
        });
    }
    let mut of_process = process(start_us, 3);
    for number in [
        &mut of_process.process_age_us,
        &mut of_process.cpu_ns,
        &mut of_process.requests_total,
        &mut of_process.clock_checks_total,
        &mut of_process.clock_disagreements_total,
        &mut of_process.agent_cpu_ns,
        &mut of_process.agent_bytes_sent,
        &mut of_process.dropped_total,
    ] {
        *number = u64::MAX;
    }
    for number in [
        &mut of_process.instructions,
        &mut of_process.cpu_outside_ns,
        &mut of_process.rss_bytes,
        &mut of_process.anonymous_bytes,
        &mut of_process.page_faults,
        &mut of_process.context_switches,
    ] {
        *number = Some(u64::MAX);
    }
    of_process.endpoints = vec![EndpointCount {
        endpoint: "/feed".into(),
        requests: COUNT,
        errors: COUNT,
    }];
    batch.processes.push(of_process);
    batch.requests.push(RequestRecord {
        start_us,
        endpoint: "/feed".into(),
        weight: COUNT,
        cpu_ns: Some(u64::MAX),
        instructions: Some(u64::MAX),
        wall_ns: u64::MAX,
        polls: u64::MAX,
        thread_hops: u64::MAX,
        ..RequestRecord::default()
    });
    batch
}

#[tokio::test]
async fn the_largest_numbers_are_told_like_others() {
    let bench = Bench::new();
    for (source, deploy, from) in [(1, "a", 0), (2, "a", 0), (3, "b", 30), (4, "b", 30)] {
        for second in from..60 {
            let answer = bench.put_batch(&largest(source, second, deploy)).await;
            assert_eq!(answer.status.as_u16(), 201, "{answer:?}");
        }
    }
    bench.at(NOON + 200 * SECOND);
    bench.collector.watch_once().await.unwrap();
    for question in [
        "services",
        "deploys",
        "deploys/a",
        "deploys/b",
        "weight",
        "weight?window_us=1000000",
        "compare?base=a&head=b",
        "compare?base=a&head=b&metric=cpu",
        "drift",
        "flags",
        "alerts",
        "processes",
        "requests",
        "requests?order=time",
    ] {
        let answer = bench.get(&format!("/v1/{question}")).await;
        assert_eq!(answer.status.as_u16(), 200, "{question}: {answer:?}");
    }
}

#[tokio::test]
async fn more_requests_than_there_can_be_are_refused() {
    let refused = async |field: &str, set: fn(&mut Batch)| {
        let mut batch = largest(1, 0, "a");
        set(&mut batch);
        let answer = Bench::new().put_batch(&batch).await;
        answer.assert_problem(422, Some(field));
    };
    refused("cells[0].weight", |batch| batch.cells[0].weight += 1).await;
    refused("requests[0].weight", |batch| batch.requests[0].weight += 1).await;
    refused("processes[0].endpoints[0].requests", |batch| {
        batch.processes[0].endpoints[0].requests += 1;
    })
    .await;
    refused("processes[0].endpoints[0].errors", |batch| {
        batch.processes[0].endpoints[0].errors += 1;
    })
    .await;
}
