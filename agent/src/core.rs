//! What an agent's handles, layers, requests and threads share.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use appweight_wire::{Age, RequestRecord};
use uuid::Uuid;

use crate::costliest::Cost;
use crate::counters::Counters;
use crate::fork;
use crate::hooks::Hooks;
use crate::measurement::Measurement;
use crate::names::Endpoints;
use crate::profile::Profiles;
use crate::profiled::EndedProfile;
use crate::queue::{Queue, Sealed};
use crate::sampling::Sampling;
use crate::scopes::timers::Timers;
use crate::settings::{OneIn, Settings};
use crate::shard::{Ended, Shard, Spans, Tallied};
use crate::shards::{Begun, Odds, Shards};
use crate::spool::{Locks, Spool};
use crate::stop::Stop;
use crate::sys;
use crate::thinning::Thinning;
use crate::totals::{Totals, add};

#[derive(Debug)]
pub(crate) struct Core {
    settings: Settings,
    hooks: Arc<Hooks>,
    counters: &'static Counters,
    /// What profiles count.
    timers: &'static Timers,
    /// The process's id towards the collector.
    source: Uuid,
    /// Of the process that this counts in.
    generation: u64,
    /// What takes its place in a process that was forked.
    in_child: OnceLock<&'static Self>,
    spans: Spans,
    started: Instant,
    /// The same by the monotonic clock, ns.
    started_ns: u64,
    /// When the process is warm, by the same.
    warm_ns: u64,
    /// The time of `started_ns`, µs since the Unix epoch, by the clock as it is set now.
    started_us: AtomicU64,
    on: AtomicBool,
    thinning: Thinning,
    endpoints: Endpoints,
    shards: Shards,
    /// Of the agent's own threads.
    profiles: Mutex<Profiles>,
    sampling: Sampling,
    /// Sealed batches on their way.
    pub(crate) queue: Queue,
    /// Batches on disk, opened by the thread that ships.
    spool: Mutex<Option<Spool>>,
    pub(crate) spool_locks: Arc<Locks>,
    /// What the agent did so far.
    pub(crate) totals: Totals,
    /// Ends the agent's threads.
    pub(crate) stop: Stop,
    #[cfg(test)]
    set_by_us: std::sync::atomic::AtomicI64,
}

impl Core {
    /// One that lasts as long as the process. Whatever is measured refers to it, and counting the
    /// referrers would be a write that all threads share, at every request; a program starts an
    /// agent once or a few times, and what is left of one that has ended is small.
    pub(crate) fn new(settings: Settings, hooks: Arc<Hooks>, counters: Counters) -> &'static Self {
        let cell_us = micros(settings.cell_width);
        let spans = Spans {
            cell_us,
            process_us: micros(settings.process_interval).min(cell_us),
            instruction_source: counters.instruction_source(),
            cost: (settings.record_one_in > 0).then(|| Cost::by(counters.instruction_source())),
        };
        let one_in = settings.count_one_in.unwrap_or(OneIn::Adaptive);
        let thinning = Thinning::new(one_in, settings.count_target);
        // As the whole lasts as long as the process, so do its parts.
        let counters: &'static Counters = Box::leak(Box::new(counters));
        let timers: &'static Timers =
            Box::leak(Box::new(Timers::new(&settings.profile_timers, counters)));
        let odds = Odds {
            record_one_in: settings.record_one_in,
            profile_one_in: match timers.are_there() {
                true => settings.profile_one_in,
                false => 0,
            },
        };
        let started_ns = sys::monotonic_ns();
        let warm_up = u64::try_from(settings.warm_up.as_nanos()).unwrap_or(u64::MAX);
        let core = Self {
            started_ns,
            warm_ns: started_ns.saturating_add(warm_up),
            started_us: AtomicU64::new(0),
            queue: Queue::new(settings.queue_bytes),
            sampling: Sampling::new(&settings),
            settings,
            hooks,
            counters,
            timers,
            source: Uuid::new_v4(),
            generation: fork::generation(),
            in_child: OnceLock::new(),
            spans,
            started: Instant::now(),
            on: AtomicBool::new(true),
            thinning,
            endpoints: Endpoints::new(),
            shards: Shards::new(odds),
            profiles: Mutex::default(),
            spool: Mutex::default(),
            spool_locks: Arc::default(),
            totals: Totals::default(),
            stop: Stop::new(),
            #[cfg(test)]
            set_by_us: std::sync::atomic::AtomicI64::new(0),
        };
        core.look_at_the_clock();
        Box::leak(Box::new(core))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    #[inline]
    pub(crate) fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    #[inline]
    pub(crate) fn counters(&self) -> &'static Counters {
        self.counters
    }

    /// What profiles count.
    pub(crate) fn timers(&self) -> &'static Timers {
        self.timers
    }

    /// Whether any request is profiled.
    pub(crate) fn profiles_some(&self) -> bool {
        self.settings.profile_one_in > 0 && self.timers.are_there()
    }

    pub(crate) fn spans(&self) -> Spans {
        self.spans
    }

    pub(crate) fn shards(&self) -> &Shards {
        &self.shards
    }

    /// Works on the profiles of spans that are not over. Not for requests: it may wait for another thread.
    pub(crate) fn with_profiles<T>(&self, work: impl FnOnce(&mut Profiles) -> T) -> T {
        work(&mut self.profiles.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stacks of requests that are profiled.
    pub(crate) fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    pub(crate) fn source(&self) -> Uuid {
        self.source
    }

    /// Whether requests are measured: until the shutdown, and in the process that began it.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.is_switched_on() && !self.is_inherited()
    }

    /// The same, also of what is inherited: whether a child begins to measure.
    #[inline]
    pub(crate) fn is_switched_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Whether this is the copy that a forked process got of its parent's. The parent counts what is in
    /// it, and its locks may be held by threads that are not there any more: none may be taken.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }

    /// What counts in this process: itself, or what took its place after a fork.
    pub(crate) fn here(&'static self) -> Option<&'static Self> {
        let mut core = self;
        while core.is_inherited() {
            core = core.in_child.get()?;
        }
        Some(core)
    }

    /// The same after a fork, made anew at the first call; then `begin` is called with it.
    #[cold]
    pub(crate) fn after_fork(
        &'static self,
        begin: impl Fn(&'static Self),
    ) -> Option<&'static Self> {
        let mut core = self;
        while core.is_inherited() {
            if !core.is_switched_on() {
                // It was shut down, here or before the fork.
                return None;
            }
            if core.in_child.get().is_none() && core.in_child.set(core.for_child()).is_ok() {
                begin(core.in_child.get()?);
            }
            core = core.in_child.get()?;
        }
        Some(core)
    }

    fn for_child(&self) -> &'static Self {
        self.spool_locks.close_inherited();
        Self::new(
            self.settings.in_child(),
            Arc::clone(&self.hooks),
            Counters::probe(),
        )
    }

    /// Begins with a spool.
    pub(crate) fn set_spool(&self, spool: Spool) {
        *self.spool.lock().unwrap_or_else(PoisonError::into_inner) = Some(spool);
        self.with_spool(|_| ());
    }

    /// Works on the spool, if there is one.
    pub(crate) fn with_spool<T>(&self, work: impl FnOnce(&mut Spool) -> T) -> Option<T> {
        let mut spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        let spool = spool.as_mut()?;
        let output = work(spool);
        let losses = spool.take_losses();
        let totals = &self.totals;
        totals.lose(losses.contents);
        add(&totals.spool_unreadable, losses.unreadable);
        let (batches, bytes) = (spool.batches(), spool.bytes());
        totals.spooled_batches.store(batches, Ordering::Relaxed);
        totals.spooled_bytes.store(bytes, Ordering::Relaxed);
        Some(output)
    }

    /// Puts a batch into the spool, if there is one. Says whether it lies there.
    pub(crate) fn keep(&self, batch: &Sealed) -> io::Result<bool> {
        let stored = self.with_spool(|spool| spool.store(batch));
        stored.map_or(Ok(false), |stored| stored.map(|()| true))
    }

    /// Gives the spool's locks back.
    pub(crate) fn close_spool(&self) {
        let mut spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spool) = spool.take() {
            spool.close();
        }
    }

    pub(crate) fn switch_off(&self) {
        self.on.store(false, Ordering::Relaxed);
    }

    /// How long the agent, and so about the process, has been running.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The process's age at that moment of the monotonic clock.
    #[inline]
    pub(crate) fn age_at(&self, moment_ns: u64) -> Age {
        if moment_ns < self.warm_ns {
            Age::WarmingUp
        } else {
            Age::Warm
        }
    }

    /// The time, µs since the Unix epoch.
    pub(crate) fn now_us(&self) -> u64 {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, micros);
        #[cfg(test)]
        let now = now.saturating_add_signed(self.set_by_us.load(Ordering::Relaxed));
        now
    }

    /// As if somebody had set the machine's clock so far from the true time.
    #[cfg(test)]
    pub(crate) fn set_clock(&self, by_us: i64) {
        self.set_by_us.store(by_us, Ordering::Relaxed);
    }

    /// The time at that moment of the monotonic clock, µs since the Unix epoch, by the clock as it was
    /// set when it was last looked at.
    #[inline]
    pub(crate) fn micros_at(&self, moment_ns: u64) -> u64 {
        let since = moment_ns.saturating_sub(self.started_ns);
        self.started_us.load(Ordering::Relaxed) + since / 1_000
    }

    /// Takes over how the clock is set now; the agent's thread does so all the time.
    pub(crate) fn look_at_the_clock(&self) {
        let since = sys::monotonic_ns().saturating_sub(self.started_ns);
        let started_us = self.now_us().saturating_sub(since / 1_000);
        self.started_us.store(started_us, Ordering::Relaxed);
    }

    /// What becomes of the next request or task of that name.
    #[inline]
    pub(crate) fn begin(
        &self,
        name: &str,
        put: impl FnOnce(Begun) -> Box<Measurement>,
    ) -> Box<Measurement> {
        self.shards
            .begin(name, &self.endpoints, &self.thinning, put)
    }

    pub(crate) fn endpoint_name(&self, number: u32) -> String {
        self.endpoints.get(number).name.to_string()
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// How many requests the record of one that stands for `weight` stands for.
    pub(crate) fn record_weight(&self, weight: u32) -> u64 {
        self.settings.record_one_in.saturating_mul(weight.into())
    }

    /// Whether it is decided by what was seen how thinly each endpoint is counted: where that is asked for, or reading is
    /// dear, also since a cheap way was given up.
    pub(crate) fn may_thin(&self) -> bool {
        self.settings.count_one_in.is_some() || !self.counters.are_cheap()
    }

    /// Which requests are counted.
    #[inline]
    pub(crate) fn thinning(&self) -> &Thinning {
        &self.thinning
    }

    /// Counts what has ended; the agent is on.
    #[cold]
    pub(crate) fn count(&self, ended: Ended) {
        self.while_on(|shard| {
            shard.count(&self.spans, &self.endpoints, |room| *room = ended);
        });
    }

    /// A place where something that begins may lie.
    pub(crate) fn place(&self) -> Option<Box<Measurement>> {
        // In a forked process the shards' locks may be held by threads that are not there any more.
        if self.is_on() {
            self.shards.place()
        } else {
            None
        }
    }

    /// Takes back a place in which nothing lies any more.
    pub(crate) fn give_back(&self, place: Box<Measurement>) {
        if self.is_on() {
            self.shards.give_back(place);
        }
    }

    /// Counts what has ended if the agent is on, and takes back the place where it lay. Not in a forked process.
    #[inline]
    pub(crate) fn end(&self, place: Box<Measurement>, tell: impl FnOnce(&Measurement, &mut Ended)) {
        self.shards.end(place, |shard, place| {
            // As in `while_on`.
            if self.is_switched_on() {
                shard.count(&self.spans, &self.endpoints, |room| tell(place, room));
            }
        });
    }

    /// Keeps the record of one that has ended; the agent is on.
    #[cold]
    pub(crate) fn keep_record(&self, record: Box<RequestRecord>) {
        if self.while_on(|shard| shard.keep(record)) {
            self.stop.ask_to_fetch();
        }
    }

    /// Keeps what was profiled of one that has ended; the agent is on.
    #[cold]
    pub(crate) fn keep_profile(&self, profile: EndedProfile) {
        self.while_on(|shard| shard.keep_profile(profile));
    }

    /// Keeps that one ended which is not counted.
    pub(crate) fn pass(&self, passing: Tallied) {
        if !self.is_inherited() {
            self.while_on(|shard| shard.pass(passing, &self.spans));
        }
    }

    /// Works on the calling thread's shard unless the agent was switched off, which is asked while nobody can fetch:
    /// asked before, what comes after the last fetch would be counted and never sent.
    fn while_on<R: Default>(&self, work: impl FnOnce(&mut Shard) -> R) -> R {
        self.shards.with_mine(|shard| {
            if self.is_switched_on() {
                work(shard)
            } else {
                R::default()
            }
        })
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
