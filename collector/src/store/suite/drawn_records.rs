//! Records of processes and of requests with all that they may say, or not.

use std::collections::BTreeMap;

use appweight_wire::{
    ActiveUsers, Age, Downstream, EndpointCount, Flag, InstructionSource, Kind, ProcessRecord,
    RequestRecord,
};
use proptest::prelude::*;
use proptest::sample::select;

use super::deeds::{ENDPOINTS, SPANS, any_value};
use crate::testing::{NOON, SECOND, process};

/// Of a span that whoever has the batch's number chooses.
pub(super) fn any_process() -> impl Strategy<Value = ProcessRecord> {
    let absent = || prop::option::of(0..5_000_000_000_u64);
    let facts = (absent(), absent(), absent(), absent(), absent(), absent());
    let counts = (0..5_u64, 0..5_u64, any_value(), any_value(), 0..3_u64);
    let names = (
        select(&["", "Some CPU", "größe '\\"][..]),
        select(&["", "6.1"][..]),
    );
    let endpoints = prop::collection::vec((select(&ENDPOINTS[..]), 0..99_u64, 0..9_u64), 0..3);
    (
        select(&[0, SECOND, 5 * SECOND, 600 * SECOND][..]),
        0..5_000_000_000_u64,
        facts,
        prop::option::of(0..20_u64),
        endpoints,
        counts,
        names,
    )
        .prop_map(|(age_us, cpu_ns, facts, users, endpoints, counts, names)| {
            let endpoints = endpoints.into_iter();
            let endpoints =
                endpoints.map(|(endpoint, requests, errors): (&str, _, _)| EndpointCount {
                    endpoint: endpoint.into(),
                    requests,
                    errors,
                });
            ProcessRecord {
                process_age_us: age_us,
                cpu_ns,
                instructions: facts.0,
                cpu_outside_ns: facts.1,
                rss_bytes: facts.2,
                anonymous_bytes: facts.3,
                page_faults: facts.4,
                context_switches: facts.5,
                requests_total: counts.2 / 2,
                endpoints: endpoints.collect(),
                active_users: users.map(|users| {
                    let mut active = ActiveUsers::new();
                    (0..users).for_each(|user| active.insert_hash(user));
                    active
                }),
                cpu_model: names.0.into(),
                kernel: names.1.into(),
                clock_checks_total: counts.0 + counts.1,
                clock_disagreements_total: counts.1,
                agent_cpu_ns: counts.3 / 2,
                agent_bytes_sent: counts.4,
                dropped_total: counts.4,
                ..process(NOON, 0)
            }
        })
}

pub(super) fn any_request() -> impl Strategy<Value = RequestRecord> {
    let few = || prop::option::of(0..5_u64);
    let what = (
        0..SPANS,
        select(&ENDPOINTS[..]),
        select(&Kind::ALL[..]),
        select(&Age::ALL[..]),
        select(&InstructionSource::ALL[..]),
    );
    let ended = (
        prop::option::of(select(&["GET", "POST"][..])),
        prop::option::of(select(&[200_u16, 404, 500][..])),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        0..3_u64,
    );
    let counts = (few(), few(), any_value(), few(), few(), few(), few());
    let more = (
        prop::collection::btree_map(
            select(&["cache", "größe"][..]),
            (1..9_u64, any_value()),
            0..3,
        ),
        prop::option::of(select(&["on", "off"][..])),
        0..9_u64,
        0..9_u64,
    );
    (what, ended, counts, more).prop_map(|(what, ended, counts, more)| {
        let (span, endpoint, kind, age, instruction_source) = what;
        let (method, status, error, unfinished, scaled, weight) = ended;
        let downstream = more.0.into_iter();
        let downstream: BTreeMap<_, _> = downstream
            .map(|(name, (calls, wall_ns))| (name.to_owned(), Downstream { calls, wall_ns }))
            .collect();
        RequestRecord {
            kind,
            start_us: NOON + span * SECOND,
            endpoint: endpoint.into(),
            method: method.map(str::to_owned),
            status,
            error,
            unfinished,
            weight,
            age,
            instructions: counts.0,
            instruction_source,
            scaled,
            cpu_ns: counts.1,
            wall_ns: counts.2,
            rss_start_bytes: counts.3,
            rss_end_bytes: counts.4,
            allocated_bytes: counts.5,
            allocations: counts.6,
            downstream,
            flags: more
                .1
                .map(|value| Flag {
                    name: "new-feed".into(),
                    value: value.into(),
                })
                .into_iter()
                .collect(),
            polls: more.2,
            thread_hops: more.3,
        }
    })
}
