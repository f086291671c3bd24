//! The thread that fetches what requests have counted, looks at the process and seals batches.

#[cfg(test)]
mod tests;

use std::mem;
use std::time::Duration;

use appweight_wire::{
    Batch, Content, EndpointCount, ProcessRecord, ProfileRecord, VERSION, batch_id, encode_packed,
};

use crate::build_id::build_id;
use crate::contents::Contents;
use crate::core::Core;
use crate::machine;
use crate::queue::Sealed;
use crate::scopes::costs::Costs;
use crate::scopes::ended::Adding;
use crate::shard::{Drained, Span};
use crate::sys;
use crate::totals::get;

/// How long after its end a span is fetched: a request that ended just before is still counting.
const GRACE_US: u64 = 20_000;
/// Records in a batch: about a megabyte of cells.
const BATCH_RECORDS: usize = 1_000;
/// Profiles in a batch: some hundred kilobytes each at most, before they are compressed.
const BATCH_PROFILES: usize = 10;
/// zstd's fastest but for those that give up much of the gain.
const LEVEL: i32 = 1;

/// Runs until the shutdown.
pub(crate) fn run(core: &Core) {
    let end = Ended(core);
    let mut collector = Collector::new(core);
    loop {
        let stopping = core.stop.sleep_unless_asked(collector.pause());
        collector.turn(stopping);
        if stopping {
            break;
        }
    }
    drop(end);
    save(core);
}

/// What the timers of profiles cost, if any request is profiled.
fn costs(core: &Core) -> Costs {
    if !core.profiles_some() {
        return Costs::default();
    }
    let costs = Costs::measure(core.timers());
    tracing::info!(
        "AppWeight: a scope costs, and that is taken off: {}; what it costs more where caches are cold is not",
        costs.describe(core.timers())
    );
    costs
}

/// Nobody fetches any more, also after a panic: nothing may pile up.
struct Ended<'a>(&'a Core);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.switch_off();
        self.0.queue.close();
    }
}

/// Puts what is left into the spool if the thread that ships hangs in an attempt when the time to send
/// is over. What is sent all the same is not counted twice.
fn save(core: &Core) {
    let (Some(_), Some(send_until)) = (&core.settings().spool, core.stop.send_until()) else {
        return;
    };
    // It ends by itself unless it hangs, and that takes a moment.
    let patience = Duration::from_millis(20);
    if core.stop.wait_for_end(send_until + patience) {
        return;
    }
    // All of it under one lock: the other thread may come back and close the spool.
    let lost = core.with_spool(|spool| {
        if let Some(batch) = core.queue.in_hand() {
            // If it cannot be kept, whoever has it in hand counts it.
            let _ = spool.store(&batch);
        }
        let left = core.queue.drain();
        let lost = left.iter().filter(|batch| spool.store(batch).is_err());
        lost.map(|batch| batch.contents).sum()
    });
    // Without a spool after all, what waits is lost; closed by the other thread, nothing waits.
    let lost = lost.unwrap_or_else(|| core.queue.clear());
    core.totals.lose(lost);
    core.stop.mark_ended();
}

struct Collector<'a> {
    core: &'a Core,
    sequence: u64,
    drained: Drained,
    adding: Adding,
    cpu_model: String,
    kernel: String,
    /// When the span of the next process record ends, µs since the Unix epoch.
    span_end_us: u64,
    before: Process,
    /// Whether requests passed uncounted, or may have, since the last process record.
    some_passed: bool,
    /// The last span that was over when it was decided how thinly to count.
    decided_us: u64,
}

/// What grows with a process.
#[derive(Debug, Clone, Copy)]
struct Process {
    cpu_ns: u64,
    instructions: Option<u64>,
    page_faults: Option<u64>,
    context_switches: Option<u64>,
    agent_cpu_ns: u64,
    sent_bytes: u64,
}

impl<'a> Collector<'a> {
    fn new(core: &'a Core) -> Self {
        let before = Process {
            // Also of the threads that were there before this one.
            agent_cpu_ns: 0,
            ..Process::now(core)
        };
        let width = core.spans().process_us;
        let now = core.now_us();
        Self {
            core,
            sequence: 0,
            drained: Drained::default(),
            adding: Adding::new(costs(core)),
            cpu_model: machine::cpu_model(),
            kernel: machine::kernel(),
            span_end_us: now - now % width + width,
            before,
            some_passed: false,
            decided_us: 0,
        }
    }

    /// How long until there is something to do: four times per cell's width, every second at
    /// least, and when a span is over.
    fn pause(&self) -> Duration {
        let tick = (self.core.spans().cell_us / 4).clamp(5_000, 1_000_000);
        let to_end = (self.span_end_us + GRACE_US).saturating_sub(self.core.now_us());
        Duration::from_micros(tick.min(to_end.max(1_000)))
    }

    fn turn(&mut self, stopping: bool) {
        let core = self.core;
        let now = core.now_us();
        let until = if stopping {
            u64::MAX
        } else {
            now.saturating_sub(GRACE_US)
        };
        let tally = core.totals.take_over(|| {
            core.shards()
                .drain(until, core.spans(), core.endpoints(), &mut self.drained);
            mem::take(&mut self.drained.tally)
        });
        core.look_at_the_clock();
        self.add_profiles();
        self.some_passed |= tally.passed > 0 || core.thinning().thins();
        if stopping {
            self.end_span_of_allocations(now - now % core.spans().cell_us);
        } else {
            self.decide(until);
        }
        let process = self.process_record(now, stopping);
        let costliest = self
            .drained
            .take_costliest(until, core.spans(), core.endpoints());
        self.drained
            .records
            .extend(costliest.into_iter().map(Box::new));
        let cells = self.drained.take_cells();
        let mut profiles = self.take_profiles(until).into_iter().peekable();
        if process.is_none()
            && cells.is_empty()
            && profiles.peek().is_none()
            && self.drained.records.len() < BATCH_RECORDS
        {
            return;
        }
        let mut processes: Vec<ProcessRecord> = process.into_iter().collect();
        let mut cells = cells.into_iter().peekable();
        let mut requests = mem::take(&mut self.drained.records).into_iter().peekable();
        while cells.peek().is_some()
            || requests.peek().is_some()
            || profiles.peek().is_some()
            || !processes.is_empty()
        {
            let cells: Vec<_> = cells.by_ref().take(BATCH_RECORDS).collect();
            let requests = requests
                .by_ref()
                .take(BATCH_RECORDS - cells.len())
                .map(|record| *record)
                .collect();
            self.seal(Batch {
                version: VERSION,
                source: core.source(),
                sequence: self.sequence,
                origin: core.settings().origin.clone(),
                content: Content::Cells,
                cell_width_us: None,
                cells,
                requests,
                processes: mem::take(&mut processes),
                profiles: profiles.by_ref().take(BATCH_PROFILES).collect(),
            });
        }
    }

    /// What was profiled of single requests goes to their endpoints.
    fn add_profiles(&mut self) {
        if self.drained.profiles.is_empty() {
            return;
        }
        let core = self.core;
        core.with_profiles(|profiles| {
            for profile in self.drained.profiles.drain(..) {
                let cell_us = core.spans().cell_us;
                self.adding
                    .add(&profile.tree, profile.of, profiles, cell_us);
            }
        });
    }

    /// The profiles of spans that are over.
    fn take_profiles(&self, until: u64) -> Vec<ProfileRecord> {
        let core = self.core;
        if let Some(until) = core.stop.send_until() {
            core.sampling().close(until);
        }
        let source = core.counters().instruction_source();
        core.with_profiles(|profiles| {
            let lost = profiles.take_lost();
            core.totals.lose(Contents {
                records: lost,
                ..Contents::default()
            });
            let mut records = profiles.take(until, core.spans().cell_us, source, core.endpoints());
            for record in &mut records {
                record.builds = build_id().map(str::to_owned).into_iter().collect();
            }
            records
        })
    }

    /// Once for each span, when it is over and fetched, how thinly the next is counted.
    fn decide(&mut self, until: u64) {
        let width_us = self.core.spans().cell_us;
        let last_us = (until - until % width_us).saturating_sub(width_us);
        if mem::replace(&mut self.decided_us, last_us) != last_us {
            if self.core.may_thin() {
                self.core.thinning().decide(&self.drained.seen(last_us));
            }
            self.end_span_of_allocations(last_us);
        }
    }

    /// What was allocated since the last time is told as that of the span that begins then.
    fn end_span_of_allocations(&self, start_us: u64) {
        let core = self.core;
        let age = core.age_at(core.counters().wall_ns());
        let requests = || self.drained.seen(start_us);
        core.sampling().end_span(start_us, age, requests);
    }

    fn seal(&mut self, batch: Batch) {
        let core = self.core;
        let contents = Contents::of(&batch);
        let sequence = self.sequence;
        self.sequence += 1;
        let dropped = match zstd::bulk::compress(&encode_packed(&batch), LEVEL) {
            Ok(bytes) => core.queue.push(Sealed {
                id: batch_id(core.source(), sequence),
                sequence,
                sealed_us: core.now_us(),
                contents,
                bytes,
            }),
            // It asks for memory, and nothing else can fail.
            Err(error) => {
                tracing::warn!("AppWeight: a batch cannot be compressed: {error}");
                contents
            }
        };
        core.totals.lose(dropped);
    }

    /// The record of the span that is over, if one is.
    fn process_record(&mut self, now: u64, stopping: bool) -> Option<ProcessRecord> {
        let core = self.core;
        let width_us = core.spans().process_us;
        if self.span_end_us > now + 2 * width_us {
            // The clock was set back.
            self.span_end_us = now - now % width_us + width_us;
        }
        if !stopping && now < self.span_end_us + GRACE_US {
            return None;
        }
        // After a time asleep (a suspended machine) several spans are over, and the last is told.
        let over = now.saturating_sub(GRACE_US);
        let end_us = self.span_end_us.max(over - over % width_us);
        self.span_end_us = end_us + width_us;
        let process = Process::now(core);
        let before = mem::replace(&mut self.before, process);
        let span = self.drained.take_span(core.endpoints());
        let memory = core.counters().memory();
        let (clock_checks_total, clock_disagreements_total) = core.counters().clock_checks();
        let outside_ns =
            mem::take(&mut self.drained.outside_ns) + self.core.shards().used_by_others();
        let some_passed = mem::replace(&mut self.some_passed, core.thinning().thins());
        Some(ProcessRecord {
            start_us: end_us - width_us,
            width_us,
            process_age_us: crate::core::micros(core.uptime()),
            cpu_ns: process.cpu_ns.saturating_sub(before.cpu_ns),
            instructions: since(process.instructions, before.instructions),
            // Requests that are not counted look like what is outside.
            cpu_outside_ns: (!some_passed).then_some(outside_ns),
            rss_bytes: memory.map(|memory| memory.resident_bytes),
            anonymous_bytes: memory.map(|memory| memory.anonymous_bytes),
            page_faults: since(process.page_faults, before.page_faults),
            context_switches: since(process.context_switches, before.context_switches),
            requests_total: get(&core.totals.requests),
            active_users: core
                .hooks()
                .user
                .is_some()
                .then(|| span.users.clone().unwrap_or_default()),
            endpoints: endpoint_counts(span),
            cpu_model: self.cpu_model.clone(),
            kernel: self.kernel.clone(),
            counters: core.counters().statuses(),
            clock_checks_total,
            clock_disagreements_total,
            agent_cpu_ns: process.agent_cpu_ns.saturating_sub(before.agent_cpu_ns),
            agent_bytes_sent: process.sent_bytes.saturating_sub(before.sent_bytes),
            dropped_total: get(&core.totals.dropped),
        })
    }
}

impl Process {
    fn now(core: &Core) -> Self {
        let usage = core.counters().process_rusage();
        Self {
            page_faults: usage.map(|usage| usage.page_faults),
            context_switches: usage.map(|usage| usage.context_switches),
            cpu_ns: sys::process_cpu_ns().unwrap_or(0),
            instructions: core.counters().process_instructions(),
            agent_cpu_ns: core.totals.own_threads.cpu_ns(),
            sent_bytes: get(&core.totals.sent_bytes),
        }
    }
}

fn since(now: Option<u64>, before: Option<u64>) -> Option<u64> {
    Some(now?.saturating_sub(before?))
}

/// In the order of names.
fn endpoint_counts(span: Span) -> Vec<EndpointCount> {
    span.endpoints
        .into_iter()
        .map(|(endpoint, (requests, errors))| EndpointCount {
            endpoint,
            requests,
            errors,
        })
        .collect()
}
