use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use appweight_wire::{
    Age, Batch, Cell, CellKey, Content, InstructionSource, Kind, Origin, ProcessRecord,
    RequestRecord, VERSION, encode_packed,
};
use fastrand::Rng;
use uuid::Uuid;

/// Request records in a batch.
pub(crate) const RECORDS: usize = 1_000;
pub(crate) const ENDPOINTS: usize = 40;
pub(crate) const MINUTE_US: u64 = 60_000_000;
const HOSTS: u64 = 64;
/// The old deploy and the new one.
const DEPLOYS: [&str; 2] = ["5f9cd00", "8f2c1a9"];

/// A batch, as it is and as an agent sends it.
pub(crate) struct Made {
    pub(crate) batch: Batch,
    pub(crate) records: usize,
    pub(crate) body: Vec<u8>,
}

impl Made {
    pub(crate) fn of(batch: Batch) -> Self {
        let body = encode_packed(&batch);
        Self {
            body: zstd::bulk::compress(&body, 1).expect("it can be compressed"),
            records: batch.requests.len(),
            batch,
        }
    }

    /// To be sent, no more: gigabytes of records beside the collector would slow it down.
    pub(crate) fn without_records(mut self) -> Self {
        self.batch.requests = Vec::new();
        self
    }
}

/// What 64 hosts of a service send, minute by minute, half of them with a new deploy.
pub(crate) struct Traffic {
    rng: Rng,
    /// When it begins.
    pub(crate) began_us: u64,
    /// Its processes are others than those of another number.
    pub(crate) run: u64,
    next: u64,
}

impl Traffic {
    pub(crate) fn new() -> Self {
        // Long enough ago that no batch is of the future, and not so long that its records are forgotten.
        let began_us = now_us() - 12 * 60 * MINUTE_US;
        Self {
            rng: Rng::with_seed(1),
            began_us: began_us - began_us % MINUTE_US,
            run: 0,
            next: 0,
        }
    }

    /// The next batches, to be sent.
    pub(crate) fn batches(&mut self, count: usize) -> Vec<Made> {
        (0..count).map(|_| self.batch().without_records()).collect()
    }

    /// The next batches with their records.
    pub(crate) fn whole(&mut self, count: usize) -> Vec<Made> {
        (0..count).map(|_| self.batch()).collect()
    }

    fn batch(&mut self) -> Made {
        let (host, sequence) = (self.next % HOSTS, self.next / HOSTS);
        self.next += 1;
        let minute_us = self.began_us + sequence * MINUTE_US;
        let mut requests: Vec<RequestRecord> =
            (0..RECORDS).map(|_| self.request(minute_us)).collect();
        requests.sort_unstable_by_key(|request| request.start_us);
        let mut cells: BTreeMap<&str, Cell> = BTreeMap::new();
        for request in &requests {
            let cell = cells
                .entry(&request.endpoint)
                .or_insert_with(|| empty(minute_us, &request.endpoint));
            count(
                cell,
                request.cpu_ns.expect("it is measured"),
                request.wall_ns,
            );
        }
        let cells = cells.into_values().collect();
        let deploy = DEPLOYS[usize::from(host >= HOSTS / 2)];
        let mut batch = batch(host, sequence, deploy, minute_us, cells);
        batch.source = Uuid::new_v5(&batch.source, &self.run.to_be_bytes());
        Made::of(Batch { requests, ..batch })
    }

    /// What a fleet says of a minute: each host has a process of either deploy, each process a batch with a cell of
    /// each endpoint.
    pub(crate) fn fleet(&mut self, hosts: u64, minute: u64) -> Vec<Made> {
        let start_us = self.began_us + minute * MINUTE_US;
        let mut all = Vec::new();
        for host in 0..hosts {
            for deploy in DEPLOYS {
                let cells = self.cells(start_us, 25);
                let mut batch = batch(host, minute, deploy, start_us, cells);
                batch.source = Uuid::new_v5(&batch.source, deploy.as_bytes());
                all.push(Made::of(batch));
            }
        }
        all
    }

    /// A cell of each endpoint, of so many requests each.
    pub(crate) fn cells(&mut self, minute_us: u64, requests: usize) -> Vec<Cell> {
        let one = |endpoint| {
            let mut cell = empty(minute_us, &name(endpoint));
            for _ in 0..requests {
                let (cpu_ns, wall_ns) = self.times();
                count(&mut cell, cpu_ns, wall_ns);
            }
            cell
        };
        (0..ENDPOINTS).map(one).collect()
    }

    fn request(&mut self, minute_us: u64) -> RequestRecord {
        let (cpu_ns, wall_ns) = self.times();
        RequestRecord {
            start_us: minute_us + self.rng.u64(..MINUTE_US),
            endpoint: name(self.rng.usize(..ENDPOINTS)),
            method: Some("GET".into()),
            status: Some(200),
            weight: 1,
            cpu_ns: Some(cpu_ns),
            wall_ns,
            ..RequestRecord::default()
        }
    }

    /// CPU and wall time of a request: some take ten times as long as others.
    fn times(&mut self) -> (u64, u64) {
        let cpu_ns = 300_000 + self.rng.u64(..3_000_000) * self.rng.u64(..10) / 10;
        (cpu_ns, cpu_ns + self.rng.u64(..5_000_000))
    }
}

pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

pub(crate) fn name(endpoint: usize) -> String {
    format!("/endpoint/{endpoint}/{{id}}")
}

fn empty(start_us: u64, endpoint: &str) -> Cell {
    Cell::new(CellKey {
        start_us,
        width_us: MINUTE_US,
        kind: Kind::Request,
        endpoint: endpoint.to_owned(),
        instruction_source: InstructionSource::None,
        age: Age::Warm,
        flag: None,
    })
}

fn count(cell: &mut Cell, cpu_ns: u64, wall_ns: u64) {
    cell.n += 1;
    cell.weight += 1;
    cell.cpu_ns.get_or_insert_default().observe(cpu_ns);
    cell.wall_ns.get_or_insert_default().observe(wall_ns);
}

/// What the process of a host sends after a minute.
pub(crate) fn batch(
    host: u64,
    sequence: u64,
    deploy: &str,
    minute_us: u64,
    cells: Vec<Cell>,
) -> Batch {
    Batch {
        version: VERSION,
        source: Uuid::from_u128(u128::from(host) + 1),
        sequence,
        origin: Origin {
            service: "photos".into(),
            deploy: deploy.into(),
            host: format!("web-{host}"),
            ..Origin::default()
        },
        content: Content::Cells,
        cell_width_us: None,
        cells,
        requests: Vec::new(),
        processes: vec![process(minute_us, sequence)],
        profiles: Vec::new(),
    }
}

pub(crate) fn process(start_us: u64, sequence: u64) -> ProcessRecord {
    ProcessRecord {
        start_us,
        width_us: MINUTE_US,
        process_age_us: (sequence + 2) * MINUTE_US,
        cpu_ns: 20_000_000_000,
        instructions: None,
        cpu_outside_ns: None,
        rss_bytes: Some(200 << 20),
        anonymous_bytes: None,
        page_faults: None,
        context_switches: None,
        requests_total: (sequence + 1) * RECORDS as u64,
        endpoints: Vec::new(),
        active_users: None,
        cpu_model: String::new(),
        kernel: String::new(),
        counters: Vec::new(),
        clock_checks_total: 0,
        clock_disagreements_total: 0,
        agent_cpu_ns: 0,
        agent_bytes_sent: 0,
        dropped_total: 0,
    }
}
