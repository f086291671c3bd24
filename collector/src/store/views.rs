//! Records as they are answered, made of what every store keeps.

use appweight::api::ProcessView;
use appweight::evidence::ProcessPoint;
use appweight_wire::{CounterStatus, Origin, ProcessRecord};

pub(super) fn process_point(source: String, origin: Origin, record: ProcessRecord) -> ProcessPoint {
    ProcessPoint {
        source,
        host: origin.host,
        deploy: origin.deploy,
        cluster: origin.cluster,
        start_us: record.start_us,
        width_us: record.width_us,
        age_us: record.process_age_us,
        requests_total: record.requests_total,
        memory_bytes: record.anonymous_bytes.or(record.rss_bytes),
        cpu_ns: record.cpu_ns,
        instructions: record.instructions,
        instructions_absent_because: why_no_instructions(&record.counters),
        active_users: record.active_users,
        endpoints: record.endpoints,
    }
}

fn why_no_instructions(counters: &[CounterStatus]) -> Option<String> {
    let instructions = counters
        .iter()
        .find(|counter| counter.name == "instructions")?;
    instructions.absent_because.clone()
}

pub(super) fn process_view(source: String, origin: Origin, record: ProcessRecord) -> ProcessView {
    ProcessView {
        source,
        host: origin.host,
        deploy: origin.deploy,
        cluster: origin.cluster,
        last_us: record.start_us + record.width_us,
        age_us: record.process_age_us,
        rss_bytes: record.rss_bytes,
        requests_total: record.requests_total,
        cpu_ns: record.cpu_ns,
        agent_cpu_ns: record.agent_cpu_ns,
        width_us: record.width_us,
        dropped_total: record.dropped_total,
        clock_ahead_us: None,
        page_faults: record.page_faults,
        context_switches: record.context_switches,
        clock_checks_total: record.clock_checks_total,
        clock_disagreements_total: record.clock_disagreements_total,
        counters: record.counters,
    }
}
