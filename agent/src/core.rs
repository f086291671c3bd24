//! What an agent's handles, layers, requests and threads share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use appweight_wire::{Age, RequestRecord};

use crate::counters::Counters;
use crate::hooks::Hooks;
use crate::names::Endpoints;
use crate::queue::Queue;
use crate::settings::Settings;
use crate::shard::{Ended, Spans};
use crate::shards::Shards;
use crate::stop::Stop;
use crate::totals::Totals;

/// One request in so many is counted where the CPU clock is a system call.
const COUNT_ONE_IN: u64 = 10;

#[derive(Debug)]
pub(crate) struct Core {
    settings: Settings,
    hooks: Hooks,
    counters: Counters,
    spans: Spans,
    started: Instant,
    /// The time of `started`, µs since the Unix epoch, by the clock as it is set now.
    started_us: AtomicU64,
    on: AtomicBool,
    endpoints: Endpoints,
    shards: Shards,
    /// Sealed batches on their way.
    pub(crate) queue: Queue,
    /// What the agent did so far.
    pub(crate) totals: Totals,
    /// Ends the agent's threads.
    pub(crate) stop: Stop,
    /// CPU time of the thread that ships, ns.
    pub(crate) ship_cpu_ns: AtomicU64,
}

impl Core {
    /// One that lasts as long as the process. Whatever is measured refers to it, and counting the
    /// referrers would be a write that all threads share, at every request; a program starts an
    /// agent once or a few times, and what is left of one that has ended is small.
    pub(crate) fn new(settings: Settings, hooks: Hooks, counters: Counters) -> &'static Self {
        let cell_us = micros(settings.cell_width);
        let spans = Spans {
            cell_us,
            process_us: micros(settings.process_interval).min(cell_us),
            instruction_source: counters.instruction_source(),
            weight: settings.count_one_in.unwrap_or(if counters.are_cheap() {
                1
            } else {
                COUNT_ONE_IN
            }),
        };
        let core = Self {
            started_us: AtomicU64::new(0),
            queue: Queue::new(settings.queue_bytes),
            settings,
            hooks,
            counters,
            spans,
            started: Instant::now(),
            on: AtomicBool::new(true),
            endpoints: Endpoints::new(),
            shards: Shards::new(),
            totals: Totals::default(),
            stop: Stop::new(),
            ship_cpu_ns: AtomicU64::new(0),
        };
        core.look_at_the_clock();
        Box::leak(Box::new(core))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn spans(&self) -> Spans {
        self.spans
    }

    pub(crate) fn shards(&self) -> &Shards {
        &self.shards
    }

    /// Whether requests are measured: until the shutdown.
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    pub(crate) fn switch_off(&self) {
        self.on.store(false, Ordering::Relaxed);
    }

    /// How long the agent, and so about the process, has been running.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn age_at(&self, moment: Instant) -> Age {
        if moment.saturating_duration_since(self.started) < self.settings.warm_up {
            Age::WarmingUp
        } else {
            Age::Warm
        }
    }

    /// The time, µs since the Unix epoch.
    pub(crate) fn now_us(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, micros)
    }

    /// The time at that moment, µs since the Unix epoch, by the clock as it was set when it was
    /// last looked at.
    #[inline]
    pub(crate) fn micros_at(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.started);
        self.started_us.load(Ordering::Relaxed) + micros(since)
    }

    /// Takes over how the clock is set now; the agent's thread does so all the time.
    pub(crate) fn look_at_the_clock(&self) {
        let started_us = self.now_us().saturating_sub(micros(self.uptime()));
        self.started_us.store(started_us, Ordering::Relaxed);
    }

    /// The number of the endpoint or task of that name.
    #[inline]
    pub(crate) fn endpoint(&self, name: &str) -> u32 {
        self.shards
            .with_numbers(|numbers| numbers.of(name, &self.endpoints))
    }

    pub(crate) fn endpoint_name(&self, number: u32) -> String {
        self.endpoints.get(number).name.clone()
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// How many requests a record stands for.
    pub(crate) fn record_weight(&self) -> u64 {
        self.settings
            .record_one_in
            .saturating_mul(self.spans.weight)
    }

    /// Whether the next request is one of those that are counted.
    #[inline]
    pub(crate) fn choose_to_count(&self) -> bool {
        self.spans.weight <= 1 || fastrand::u64(0..self.spans.weight) == 0
    }

    /// Whether the next request is one of those that are recorded.
    pub(crate) fn choose_to_record(&self) -> bool {
        match self.settings.record_one_in {
            0 => false,
            1 => true,
            n => fastrand::u64(0..n) == 0,
        }
    }

    pub(crate) fn count(&self, ended: &Ended<'_>, record: Option<RequestRecord>) {
        // Nobody would ever fetch it after the shutdown.
        if self.is_on() {
            self.shards
                .with_mine(|shard| shard.count(ended, record, self.spans, &self.endpoints));
        }
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
