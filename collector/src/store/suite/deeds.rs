//! What a store may be told: generated, on a world so small that keys meet.

use appweight::api::AlertState;
use appweight_wire::{
    Age, Batch, Cell, Deploy, Distribution, Flag, Function, InstructionSource, Kind,
    PackedRequests, ProcessRecord, ProfileRecord, RequestRecord, Taken, TimerValues, pack_requests,
};
use proptest::prelude::*;
use proptest::sample::select;

use super::drawn_records::{any_process, any_request};
use super::{RECEIVED, new};
use crate::store::*;
use crate::testing::{NOON, SECOND, batch, cell};

/// Something that a store is told.
#[derive(Debug, Clone)]
pub(in crate::store) enum Deed {
    Put(Vec<NewBatch>),
    Post(Deploy),
    /// A final report of a roll-out of that service: of the newest, of the one before, …
    Judge(&'static str, usize, f64),
    /// What was done about an alert of that deploy, once and again.
    Alert(&'static str, &'static str, AlertState),
    /// What is kept of a day of that service, once and again.
    Day(&'static str, u64, u64),
    Forget(Horizons),
}

pub(super) const SERVICES: [&str; 2] = ["photo", "größe '\\ ?"];
pub(super) const DEPLOYS: [&str; 3] = ["a", "b", "c'\\\t?"];
pub(super) const ENDPOINTS: [&str; 3] = ["/feed", "/users/{id}", "/日本"];
const SOURCES: u128 = 4;
pub(super) const SPANS: u64 = 6;

/// A few dozen deeds on a small world, so that keys meet.
pub(in crate::store) fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let put = prop::collection::vec((0..12_u64, batch_content()), 1..4).prop_map(|batches| {
        let batches = batches
            .into_iter()
            .map(|(sequence, content)| content.with_sequence(sequence));
        Deed::Put(batches.collect())
    });
    let judge = (
        select(&SERVICES[..]),
        0..3_usize,
        any::<f64>().prop_filter("a number", |n| n.is_finite()),
    )
        .prop_map(|(service, before, number)| Deed::Judge(service, before, number));
    let states = [
        AlertState::Open,
        AlertState::Acknowledged,
        AlertState::Accepted,
    ];
    let alert = (
        select(&SERVICES[..]),
        select(&DEPLOYS[..]),
        select(states.to_vec()),
    )
        .prop_map(|(service, deploy, state)| Deed::Alert(service, deploy, state));
    let day = (select(&SERVICES[..]), 0..SPANS, any::<u64>())
        .prop_map(|(service, span, requests)| Deed::Day(service, span, requests));
    let deed = prop_oneof![
        8 => put,
        2 => post().prop_map(Deed::Post),
        1 => judge,
        1 => alert,
        1 => day,
        1 => horizons().prop_map(Deed::Forget),
    ];
    prop::collection::vec(deed, 1..12)
}

fn horizons() -> impl Strategy<Value = Horizons> {
    (
        0..SPANS,
        0..SPANS,
        0..SPANS,
        select(&[0, 60, 4_000][..]),
        select(&[0, 4_000][..]),
        prop_oneof![2 => Just(None), 1 => Just(Some(0)), 1 => Just(Some(3_600))],
        select(&[0, 3, 90][..]),
    )
        .prop_map(
            |(records, batches, profiles, hosts, minutes, cells, deploys)| Horizons {
                records_us: NOON + records * SECOND,
                batches_us: RECEIVED + batches * SECOND,
                profiles_us: NOON + profiles * SECOND,
                hosts_us: NOON + hosts * SECOND,
                minutes_us: NOON + minutes * SECOND,
                // A whole hour: that in which everything is, or the one after.
                cells_us: cells.map_or(0, |seconds| NOON - NOON % HOUR + seconds * SECOND),
                deploys_us: NOON + deploys * SECOND,
            },
        )
}

const HOUR: u64 = 3_600 * SECOND;

/// What is in a batch; its sequence number makes it one that came before or not.
#[derive(Debug, Clone)]
struct BatchContent {
    source: u128,
    service: &'static str,
    deploy: &'static str,
    cluster: &'static str,
    region: &'static str,
    cells: Vec<Cell>,
    requests: Vec<RequestRecord>,
    processes: Vec<ProcessRecord>,
    profiles: Vec<ProfileRecord>,
    came: Came,
}

/// How a batch came.
#[derive(Debug, Clone)]
struct Came {
    seconds_later: u64,
    clock_ahead_us: Option<i64>,
    packed: bool,
}

impl BatchContent {
    fn with_sequence(self, sequence: u64) -> NewBatch {
        let mut batch: Batch = batch(self.source, sequence, self.deploy);
        batch.origin.service = self.service.into();
        batch.origin.cluster = self.cluster.into();
        batch.origin.region = self.region.into();
        batch.cells = self.cells;
        batch.requests = self.requests;
        // A process has one record of a span, so that which is its newest is plain.
        batch.processes = (self.processes.into_iter())
            .map(|process| ProcessRecord {
                start_us: NOON + sequence * SECOND,
                ..process
            })
            .collect();
        batch.profiles = self.profiles;
        let mut new = new(batch);
        new.received_us = RECEIVED + self.came.seconds_later * SECOND;
        new.clock_ahead_us = self.came.clock_ahead_us;
        if self.came.packed {
            new.packed = PackedRequests::check(pack_requests(&new.batch.requests));
        }
        // The same id with other content is another batch's.
        new.digest[0] = new.batch.cells.len() as u8;
        new
    }
}

fn batch_content() -> impl Strategy<Value = BatchContent> {
    (
        0..SOURCES,
        select(&SERVICES[..]),
        select(&DEPLOYS[..]),
        (select(&["", "east"][..]), select(&["", "eu"][..])),
        prop::collection::vec(any_cell(), 0..5),
        prop::collection::vec(any_request(), 0..4),
        prop::collection::vec(any_process(), 0..2),
        prop::collection::vec(any_profile(), 0..3),
        came(),
    )
        .prop_map(
            |(source, service, deploy, place, cells, requests, processes, profiles, came)| {
                let (cluster, region) = place;
                BatchContent {
                    source,
                    service,
                    deploy,
                    cluster,
                    region,
                    cells,
                    requests,
                    processes,
                    profiles,
                    came,
                }
            },
        )
}

fn came() -> impl Strategy<Value = Came> {
    let ahead = prop::option::of(select(&[-9_000_000_000_i64, -1, 0, 6_000_000][..]));
    (0..SPANS, ahead, any::<bool>()).prop_map(|(seconds_later, clock_ahead_us, packed)| Came {
        seconds_later,
        clock_ahead_us,
        packed,
    })
}

pub(super) fn any_value() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..5_000_000_u64, 1 => any::<u64>()]
}

fn distribution() -> impl Strategy<Value = Option<Distribution>> {
    prop::option::of(prop::collection::vec(any_value(), 1..4)).prop_map(|values| {
        values.map(|values| {
            let mut distribution = Distribution::default();
            values.iter().for_each(|&value| distribution.observe(value));
            distribution
        })
    })
}

fn any_cell() -> impl Strategy<Value = Cell> {
    let key = (
        0..SPANS,
        select(&[1, 2][..]),
        select(&Kind::ALL[..]),
        select(&ENDPOINTS[..]),
        select(&InstructionSource::ALL[..]),
        select(&Age::ALL[..]),
        prop::option::weighted(0.2, select(&["on", "off"][..])),
    );
    let counts = (
        prop_oneof![9 => 1..50_u64, 1 => any::<u64>()],
        any_value(),
        0..9_u64,
    );
    let metrics = (
        distribution(),
        distribution(),
        distribution(),
        distribution(),
    );
    (key, counts, metrics).prop_map(|(key, (n, more, few), metrics)| {
        let (span, width, kind, endpoint, source, age, flag) = key;
        let mut made = cell(NOON + span / width * width * SECOND, &[]);
        made.key.width_us = width * SECOND;
        made.key.kind = kind;
        made.key.endpoint = endpoint.into();
        made.key.instruction_source = source;
        made.key.age = age;
        made.key.flag = flag.map(|value| Flag {
            name: "new-feed".into(),
            value: value.into(),
        });
        (made.n, made.weight) = (n, n.saturating_add(more));
        (made.errors, made.scaled, made.unfinished) = (few.min(n), few.min(n), n / 2);
        (
            made.instructions,
            made.cpu_ns,
            made.wall_ns,
            made.allocated_bytes,
        ) = metrics;
        made
    })
}

fn any_profile() -> impl Strategy<Value = ProfileRecord> {
    let nodes = prop::collection::vec((0..4_usize, 0..3_u32, 0..9_u64, any::<i32>()), 1..6);
    (
        0..SPANS,
        select(&ENDPOINTS[..]),
        select(&Taken::ALL[..]),
        select(&InstructionSource::ALL[..]),
        (select(&Kind::ALL[..]), select(&Age::ALL[..])),
        0..3_u64,
        prop::collection::vec(0..40_u8, 0..17),
        nodes,
    )
        .prop_map(
            |(span, endpoint, taken, source, of, samples, builds, nodes)| {
                let (kind, age) = of;
                let mut functions = vec![Function::named("feed"), Function::named("query")];
                functions.push(Function {
                    name: "größe::<'a>".into(),
                    file: "src/größe.rs".into(),
                    line: 7,
                });
                let own: Vec<i64> = nodes.iter().map(|node| node.3.into()).collect();
                let timer = |name: &str, unit: &str| TimerValues {
                    name: name.into(),
                    unit: unit.into(),
                    own: own.clone(),
                    taken_off_milli: samples * 1_000,
                    left_milli: 2_000 - samples * 1_000,
                };
                ProfileRecord {
                    start_us: NOON + span * SECOND,
                    width_us: SECOND,
                    kind,
                    age,
                    endpoint: endpoint.into(),
                    taken,
                    instruction_source: source,
                    requests: 1 + samples,
                    samples,
                    lost_samples: samples / 2,
                    builds: builds.iter().map(|build| format!("{build:02x}")).collect(),
                    functions,
                    parents: (0..nodes.len())
                        .map(|at| nodes[at].0.min(at.saturating_sub(1)) as u32)
                        .collect(),
                    node_functions: nodes.iter().map(|node| node.1).collect(),
                    calls: nodes.iter().map(|node| node.2).collect(),
                    folded: samples,
                    timers: vec![timer("cpu", "ns"), timer("instructions", "instructions")],
                }
            },
        )
}

fn post() -> impl Strategy<Value = Deploy> {
    let text = || prop::option::of(select(&["Faster feed", "it's \\ 日本\t?"][..]));
    (
        select(&SERVICES[..]),
        select(&DEPLOYS[..]),
        prop::option::weighted(0.7, 0..SPANS),
        prop::option::weighted(0.3, 0..SPANS),
        prop::option::weighted(0.3, select(&DEPLOYS[..])),
        (text(), text(), text()),
    )
        .prop_map(|(service, id, started, lasted, replaced, texts)| {
            let (title, author, link) = texts;
            let started_us = started.map_or(0, |span| NOON + span * SECOND);
            Deploy {
                service: service.into(),
                id: id.into(),
                started_us,
                ended_us: lasted.map(|span| started_us.max(NOON) + span * SECOND),
                replaced: replaced.map(str::to_owned),
                title: title.map(str::to_owned),
                author: author.map(str::to_owned),
                link: link.map(str::to_owned),
            }
        })
}
