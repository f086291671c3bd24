use appweight::cells;
use appweight_wire::{
    Batch, Cell, Content, EndpointCount, Flag, Format, Function, InstructionSource, Origin,
    ProcessRecord, ProfileRecord, RequestRecord, TimerValues, VERSION, encode, encode_packed,
};
use uuid::Uuid;

use crate::http::{Answer, put, put_encoded};
use crate::today::an_hour_ago;

/// Requests in each batch.
pub(crate) const REQUESTS: u64 = 10;
/// A cell's width, µs.
pub(crate) const MINUTE_US: u64 = 60_000_000;
/// Each client's batches are of these minutes by turns.
pub(crate) const MINUTES: u64 = 4;
/// From one batch's requests to the next one's, µs.
pub(crate) const STEP_US: u64 = 1_000;
/// One request in so many fails.
const FAILED: u64 = 7;
/// Of a batch with cells one request in so many is recorded.
const RECORDED: usize = 2;
/// As the agent compresses.
const LEVEL: i32 = 1;

/// How a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As an agent sends it: cells, and what else it tells, packed and compressed.
    Agent,
    /// The same as JSON.
    Json,
    /// Request records alone, of which the collector makes the cells.
    RequestsAlone,
}

/// A batch with all that an agent tells, the same bytes at each try.
#[derive(Debug)]
pub(crate) struct Drawn {
    form: Form,
    body: Vec<u8>,
    /// What is sent.
    pub(crate) batch: Batch,
    /// The cells that are to be in the store by it.
    pub(crate) cells: Vec<Cell>,
}

impl Drawn {
    /// The batch of that number, of requests of an endpoint that stand for so many each.
    pub(crate) fn of(
        source: Uuid,
        origin: &Origin,
        sequence: u64,
        endpoint: &str,
        weight: u64,
    ) -> Self {
        let form = match sequence % 4 {
            0 => Form::RequestsAlone,
            2 => Form::Json,
            _ => Form::Agent,
        };
        let mut batch = Batch {
            version: VERSION,
            source,
            sequence,
            origin: origin.clone(),
            content: Content::Requests,
            cell_width_us: Some(MINUTE_US),
            cells: Vec::new(),
            requests: (0..REQUESTS)
                .map(|at| request(sequence, at, endpoint, weight))
                .collect(),
            processes: Vec::new(),
            profiles: Vec::new(),
        };
        cells::fill_in(&mut batch);
        let cells = batch.cells.clone();
        if form == Form::RequestsAlone {
            batch.cells.clear();
        } else {
            batch.processes = vec![process(sequence, endpoint, &batch.requests)];
            batch.profiles = vec![profile(sequence, endpoint, &batch.requests)];
            batch.content = Content::Cells;
            batch.cell_width_us = None;
            batch.requests = batch.requests.into_iter().step_by(RECORDED).collect();
            for record in &mut batch.requests {
                record.weight *= RECORDED as u64;
            }
        }
        let body = match form {
            Form::Agent => zstd::bulk::compress(&encode_packed(&batch), LEVEL)
                .expect("there is memory to compress it"),
            Form::Json | Form::RequestsAlone => encode(&batch, Format::Json),
        };
        Self {
            form,
            body,
            batch,
            cells,
        }
    }

    /// Sends it.
    pub(crate) fn send(&self, collector: &str) -> Result<Answer, String> {
        let url = format!("{collector}/v1/batches/{}", self.batch.id());
        if self.form == Form::Agent {
            let format = Format::MessagePack.content_type();
            put_encoded(&url, format, "zstd", &self.body)
        } else {
            put(&url, Format::Json.content_type(), &self.body)
        }
    }
}

/// When a minute of the ledgers begins, µs.
pub(crate) fn minute_us(minute: u64) -> u64 {
    an_hour_ago() + minute * MINUTE_US
}

/// When a batch's first request began, µs.
fn start_us(sequence: u64) -> u64 {
    minute_us(sequence % MINUTES) + sequence * STEP_US
}

fn request(sequence: u64, at: u64, endpoint: &str, weight: u64) -> RequestRecord {
    // All different, so that one that is missing is not made up for by another that is there twice.
    let cpu_ns = 1_000 + (sequence * REQUESTS + at) * 7_919 % 1_000_003;
    let value = ["v1", "v2"][usize::from(at % 3 == 1)];
    let flag = (!at.is_multiple_of(3)).then(|| Flag {
        name: "ranker".into(),
        value: value.into(),
    });
    RequestRecord {
        start_us: start_us(sequence) + at,
        endpoint: endpoint.to_owned(),
        method: Some("GET".into()),
        status: Some(200),
        error: cpu_ns.is_multiple_of(FAILED),
        weight,
        instructions: Some(3 * cpu_ns + at),
        instruction_source: InstructionSource::HardwareUser,
        cpu_ns: Some(cpu_ns),
        wall_ns: 2 * cpu_ns,
        allocated_bytes: Some(cpu_ns % 10_007),
        flags: flag.into_iter().collect(),
        polls: at,
        ..RequestRecord::default()
    }
}

fn process(sequence: u64, endpoint: &str, requests: &[RequestRecord]) -> ProcessRecord {
    let failed = requests.iter().filter(|request| request.error);
    let sum = |of: fn(&RequestRecord) -> Option<u64>| requests.iter().filter_map(of).sum::<u64>();
    ProcessRecord {
        start_us: minute_us(sequence % MINUTES),
        width_us: MINUTE_US,
        process_age_us: sequence * STEP_US,
        cpu_ns: sum(|request| request.cpu_ns),
        instructions: Some(sum(|request| request.instructions)),
        cpu_outside_ns: Some(sequence),
        rss_bytes: Some(1 << 20),
        anonymous_bytes: Some(1 << 19),
        page_faults: Some(sequence % 11),
        context_switches: Some(sequence % 13),
        requests_total: sequence * REQUESTS,
        endpoints: vec![EndpointCount {
            endpoint: endpoint.to_owned(),
            requests: requests.len() as u64,
            errors: failed.count() as u64,
        }],
        active_users: None,
        cpu_model: "a CPU".into(),
        kernel: "6.1".into(),
        counters: Vec::new(),
        clock_checks_total: 0,
        clock_disagreements_total: 0,
        agent_cpu_ns: 1 + sequence % 17,
        agent_bytes_sent: 1 + sequence % 19,
        dropped_total: 0,
    }
}

fn profile(sequence: u64, endpoint: &str, requests: &[RequestRecord]) -> ProfileRecord {
    let cpu_ns = requests.iter().filter_map(|request| request.cpu_ns);
    let cpu_ns = cpu_ns.sum::<u64>().cast_signed();
    let query_ns = cpu_ns * 2 / 3;
    ProfileRecord {
        start_us: minute_us(sequence % MINUTES),
        width_us: MINUTE_US,
        endpoint: endpoint.to_owned(),
        requests: REQUESTS,
        functions: vec![
            Function::named("photos::feed"),
            Function::named("photos::query"),
        ],
        parents: vec![0, 0, 1],
        node_functions: vec![0, 0, 1],
        calls: vec![0, REQUESTS, 1 + sequence % 23],
        timers: vec![TimerValues {
            name: "cpu".into(),
            unit: "ns".into(),
            own: vec![0, cpu_ns - query_ns, query_ns],
            ..TimerValues::default()
        }],
        ..ProfileRecord::default()
    }
}
