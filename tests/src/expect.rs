use std::collections::BTreeMap;

use appweight::api::{ProfileView, RequestView, WeightSeries};
use serde::de::DeserializeOwned;

use crate::collector::Collector;
use crate::contents::{Contents, Functions, Records, Sums, same};
use crate::drawn::{MINUTE_US, MINUTES, STEP_US, minute_us};
use crate::ledger::{DEPLOYS, Ledger, SERVICE};
use crate::stored::stored;

/// Batches of a minute whose records are asked for at once: at most half of what an answer may hold, so that one too many shows.
const BATCHES_ASKED: u64 = 50;

/// Compares a store with the clients' ledgers: nothing is missing and nothing is there twice. The cells of each deploy, endpoint, minute
/// and flag are the very same, with all that their distributions hold, and so are each request record and each process record, and what
/// the profiles of each deploy and endpoint say of each function.
///
/// # Panics
/// If it is not so.
pub fn expect_ledgers(collector: &Collector, ledgers: &[Ledger]) {
    compare_ledgers(collector, ledgers).unwrap_or_else(|why| panic!("{why}"));
}

/// What [`expect_ledgers`] panics with.
///
/// # Errors
/// If something is missing or there twice.
pub fn compare_ledgers(collector: &Collector, ledgers: &[Ledger]) -> Result<(), String> {
    let sent = Contents::of(ledgers.iter().flat_map(|ledger| &ledger.batches));
    compare_told(collector, ledgers, &sent)?;
    let mut stored = stored(collector, SERVICE);
    // Others are of the deploy that these are held against to be counted.
    stored
        .cells
        .retain(|(deploy, _), _| DEPLOYS.contains(&deploy.as_str()));
    same("cells", &stored.cells, &sent.cells)?;
    same("process records", &stored.processes, &sent.processes)
}

/// What the API tells of it.
fn compare_told(collector: &Collector, ledgers: &[Ledger], sent: &Contents) -> Result<(), String> {
    for deploy in DEPLOYS {
        let counted = collector.counted(SERVICE, deploy)?.into_iter();
        let counted = counted.map(|(of, counted)| (of, Sums::counted(&counted)));
        let expected = sent.counted(deploy);
        same(
            &format!("counts of {deploy}"),
            &counted.collect(),
            &expected,
        )?;
    }
    let weighed = weighed(collector);
    same("what processes weigh", &weighed, &sent.weighed())?;
    let recorded = recorded(collector, ledgers);
    same("request records", &recorded, &sent.requests)?;
    let profiled = profiled(collector, sent);
    same("profiles", &profiled, &sent.profiles)
}

/// The same, also if all of it is sent again: by an agent that has lost its memory of what was acknowledged.
///
/// # Panics
/// If it is not so.
pub fn expect_all_once(collector: &Collector, ledgers: &[Ledger]) {
    let sent = Contents::of(ledgers.iter().flat_map(|ledger| &ledger.batches));
    compare_told(collector, ledgers, &sent).unwrap_or_else(|why| panic!("{why}"));
    for ledger in ledgers {
        assert!(ledger.resend(&collector.url).into_iter().all(|known| known));
    }
    expect_ledgers(collector, ledgers);
}

/// What all processes did, by minute: their requests and instructions.
fn weighed(collector: &Collector) -> BTreeMap<u64, (u64, u64)> {
    let series: WeightSeries = ask(
        collector,
        &format!(
            "/v1/weight?service={SERVICE}&from_us={}&until_us={}&window_us={MINUTE_US}",
            minute_us(0),
            minute_us(MINUTES)
        ),
    );
    let points = series.points.into_iter();
    points
        .map(|point| {
            let start_us = point.start_us - point.start_us % MINUTE_US;
            (start_us, (point.requests, point.total as u64))
        })
        .collect()
}

/// All request records of these clients.
fn recorded(collector: &Collector, ledgers: &[Ledger]) -> Records<appweight_wire::RequestRecord> {
    let mut records = Records::new();
    for ledger in ledgers {
        let windows = (0..ledger.len() as u64).step_by((BATCHES_ASKED * MINUTES) as usize);
        for (minute, first) in
            (0..MINUTES).flat_map(|at| windows.clone().map(move |first| (at, first)))
        {
            let from_us = minute_us(minute) + first * STEP_US;
            let until_us = from_us + BATCHES_ASKED * MINUTES * STEP_US;
            let found: Vec<RequestView> = ask(
                collector,
                &format!(
                    "/v1/requests?service={SERVICE}&deploy={}&endpoint={}&from_us={from_us}&until_us={until_us}&limit=1000",
                    ledger.origin.deploy, ledger.endpoint
                ),
            );
            for view in found {
                let key = (view.deploy, view.host, view.request.start_us);
                records
                    .entry(key)
                    .or_insert_with(Vec::new)
                    .push(view.request);
            }
        }
    }
    records
}

/// Profiled requests and their functions, by deploy and endpoint.
fn profiled(
    collector: &Collector,
    sent: &Contents,
) -> BTreeMap<(String, String), (u64, Functions)> {
    let mut profiles = BTreeMap::new();
    for (deploy, endpoint) in sent.profiles.keys() {
        let view: ProfileView = ask(
            collector,
            &format!("/v1/profile?service={SERVICE}&deploy={deploy}&endpoint={endpoint}"),
        );
        let (tree, mut functions) = (&view.tree, Functions::new());
        for (node, function) in tree.node_functions.iter().enumerate().skip(1) {
            let name = &tree.functions[*function as usize].name;
            let (calls, own) = functions.entry(name.clone()).or_default();
            *calls += tree.calls[node];
            *own += tree.own[node].iter().sum::<i64>();
        }
        profiles.insert(
            (deploy.clone(), endpoint.clone()),
            (view.summary.requests, functions),
        );
    }
    profiles
}

fn ask<T: DeserializeOwned>(collector: &Collector, path: &str) -> T {
    let answer = collector.get(path);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    serde_json::from_str(&answer.text).unwrap_or_else(|error| panic!("{path}: {error}: {answer:?}"))
}
