use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use appweight_wire::{
    Batch, Cell, CellKey, Content, Format, Kind, Origin, ProcessRecord, RequestRecord, VERSION,
    encode,
};
use fastrand::Rng;
use uuid::Uuid;

/// Request records in a batch.
pub(crate) const RECORDS: usize = 1_000;
const ENDPOINTS: usize = 40;
const HOSTS: u64 = 64;
const MINUTE_US: u64 = 60_000_000;

/// A batch, as it is and as it is sent.
pub(crate) struct Made {
    pub(crate) batch: Batch,
    pub(crate) cells: usize,
    pub(crate) body: Vec<u8>,
}

/// What 64 hosts of a service send, minute by minute, half of them with a new deploy.
pub(crate) struct Traffic {
    rng: Rng,
    /// When it begins.
    pub(crate) began_us: u64,
    next: u64,
}

impl Traffic {
    pub(crate) fn new() -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now_us = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        // Long enough ago that no batch is of the future, and not so long that its records are forgotten.
        let began_us = now_us - 12 * 60 * MINUTE_US;
        Self {
            rng: Rng::with_seed(1),
            began_us: began_us - began_us % MINUTE_US,
            next: 0,
        }
    }

    /// The next batches.
    pub(crate) fn batches(&mut self, count: usize) -> Vec<Made> {
        (0..count).map(|_| self.batch()).collect()
    }

    fn batch(&mut self) -> Made {
        let (host, sequence) = (self.next % HOSTS, self.next / HOSTS);
        self.next += 1;
        let minute_us = self.began_us + sequence * MINUTE_US;
        let deploy = if host < HOSTS / 2 {
            "5f9cd00"
        } else {
            "8f2c1a9"
        };
        let mut requests: Vec<RequestRecord> =
            (0..RECORDS).map(|_| self.request(minute_us)).collect();
        requests.sort_unstable_by_key(|request| request.start_us);
        let mut cells: BTreeMap<CellKey, Cell> = BTreeMap::new();
        for request in &requests {
            let key = CellKey {
                start_us: minute_us,
                width_us: MINUTE_US,
                kind: Kind::Request,
                endpoint: request.endpoint.clone(),
                instruction_source: request.instruction_source,
                age: request.age,
                flag: None,
            };
            let cell = cells.entry(key.clone()).or_insert_with(|| Cell::new(key));
            cell.n += 1;
            cell.weight += 1;
            let cpu_ns = request.cpu_ns.unwrap_or(0);
            cell.cpu_ns.get_or_insert_default().observe(cpu_ns);
            cell.wall_ns
                .get_or_insert_default()
                .observe(request.wall_ns);
        }
        let batch = Batch {
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
            cells: cells.into_values().collect(),
            requests,
            processes: vec![process(minute_us, sequence)],
            profiles: Vec::new(),
        };
        let body = encode(&batch, Format::MessagePack);
        Made {
            cells: batch.cells.len(),
            body: zstd::bulk::compress(&body, 1).expect("it can be compressed"),
            batch,
        }
    }

    fn request(&mut self, minute_us: u64) -> RequestRecord {
        let endpoint = self.rng.usize(..ENDPOINTS);
        // Some take ten times as long as others.
        let cpu_ns = 300_000 + self.rng.u64(..3_000_000) * self.rng.u64(..10) / 10;
        RequestRecord {
            start_us: minute_us + self.rng.u64(..MINUTE_US),
            endpoint: format!("/endpoint/{endpoint}/{{id}}"),
            method: Some("GET".into()),
            status: Some(200),
            weight: 1,
            cpu_ns: Some(cpu_ns),
            wall_ns: cpu_ns + self.rng.u64(..5_000_000),
            ..RequestRecord::default()
        }
    }
}

fn process(start_us: u64, sequence: u64) -> ProcessRecord {
    ProcessRecord {
        start_us,
        width_us: MINUTE_US,
        process_age_us: (sequence + 2) * MINUTE_US,
        cpu_ns: 20_000_000_000,
        instructions: None,
        cpu_outside_ns: None,
        rss_bytes: Some(200 << 20),
        anonymous_bytes: None,
        requests_total: (sequence + 1) * RECORDS as u64,
        endpoints: Vec::new(),
        active_users: None,
        cpu_model: String::new(),
        kernel: String::new(),
        counters: Vec::new(),
        agent_cpu_ns: 0,
        agent_bytes_sent: 0,
        dropped_total: 0,
    }
}
