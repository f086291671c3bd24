//! The costliest request of each span and endpoint, kept beside the one in N that is recorded. Which
//! one it is shows only when it has ended, so that it is recorded without what is read at the start.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use appweight_wire::{Flag, InstructionSource, Kind, RequestRecord};

use crate::cells::Place;
use crate::names::Endpoints;
use crate::shard::{Ended, Spans};
use crate::usage::Usage;

/// What makes a request costlier than another: the same for all of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    Instructions,
    Cpu,
}

impl Cost {
    /// Instructions where they are counted, else CPU time: never one against the other.
    pub(crate) fn by(source: InstructionSource) -> Self {
        match source {
            InstructionSource::None => Self::Cpu,
            _ => Self::Instructions,
        }
    }

    /// What that cost; `None` where it was not read.
    #[inline]
    pub(crate) fn of(self, usage: &Usage) -> Option<u64> {
        match self {
            Self::Instructions => usage.instructions(),
            Self::Cpu => usage.cpu_ns(),
        }
    }
}

/// What the costliest request of an endpoint cost so far, whichever thread met it: those that cost less are
/// kept by no thread, so that what is kept does not grow with the number of threads.
#[derive(Debug, Default)]
pub(crate) struct Bar([AtomicU64; 2]);

/// A bar is the cost, at most three days of CPU time, above it the last bits of the span's number.
const COST_BITS: u32 = 48;

impl Bar {
    /// Whether that cost is higher than all of its kind and span before, and raises the bar if so. Looks before
    /// it writes, so that threads share what nearly never changes. Threads that are in different spans for a
    /// moment may keep one too many.
    #[inline]
    pub(crate) fn is_passed(&self, kind: Kind, span: u64, cost: u64) -> bool {
        let bar = &self.0[usize::from(kind == Kind::Task)];
        let mine = span << COST_BITS | cost.min((1 << COST_BITS) - 1);
        let mut known = bar.load(Ordering::Relaxed);
        loop {
            if known >> COST_BITS == mine >> COST_BITS && known >= mine {
                return false;
            }
            match bar.compare_exchange_weak(known, mine, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => known = now,
            }
        }
    }
}

/// The costliest request of a thread's cell since the last fetch.
#[derive(Debug)]
pub(crate) struct Costliest {
    pub(crate) place: Place,
    cost: u64,
    /// `None` for one that is recorded anyway.
    told: Option<Told>,
}

/// What is known of it at its end.
#[derive(Debug)]
struct Told {
    end_us: u64,
    wall_ns: u64,
    usage: Usage,
    status: Option<u16>,
    error: bool,
    unfinished: bool,
    flags: Vec<Flag>,
}

impl Costliest {
    pub(crate) fn new(ended: &Ended, place: Place, cost: u64) -> Self {
        let told = (!ended.is_recorded).then(|| Told {
            end_us: ended.end_us,
            wall_ns: ended.wall_ns,
            usage: ended.usage,
            status: ended.status,
            error: ended.error,
            unfinished: ended.unfinished,
            flags: ended.flags.clone(),
        });
        Self { place, cost, told }
    }

    /// Its record, which stands for no request: what is worked out from records stays unbiased.
    fn into_record(self, spans: Spans, endpoints: &Endpoints) -> Option<RequestRecord> {
        let told = self.told?;
        let instructions = told.usage.instructions();
        let allocated = told.usage.allocated();
        Some(RequestRecord {
            kind: self.place.kind,
            endpoint: endpoints.get(self.place.endpoint).name.to_string(),
            start_us: told.end_us.saturating_sub(told.wall_ns / 1_000),
            status: told.status,
            error: told.error,
            unfinished: told.unfinished,
            weight: 0,
            age: self.place.age,
            instructions,
            instruction_source: match instructions {
                Some(_) => spans.instruction_source,
                None => InstructionSource::None,
            },
            scaled: told.usage.scaled(),
            cpu_ns: told.usage.cpu_ns(),
            allocated_bytes: allocated.map(|allocated| allocated.bytes),
            allocations: allocated.map(|allocated| allocated.allocations),
            wall_ns: told.wall_ns,
            flags: told.flags,
            ..RequestRecord::default()
        })
    }
}

/// The costliest of all threads, until their span is over: one for each endpoint.
#[derive(Debug, Default)]
pub(crate) struct Costliests(HashMap<(u64, Kind, u32), Costliest>);

impl Costliests {
    /// Holds one against those known of the span that begins at `start_us`.
    pub(crate) fn add(&mut self, start_us: u64, more: Costliest) {
        let slot = (start_us, more.place.kind, more.place.endpoint);
        match self.0.get_mut(&slot) {
            Some(known) if known.cost >= more.cost => {}
            Some(known) => *known = more,
            None => drop(self.0.insert(slot, more)),
        }
    }

    /// Takes the records of those whose span is over at `now_us`, in a fixed order.
    pub(crate) fn take(
        &mut self,
        now_us: u64,
        spans: Spans,
        endpoints: &Endpoints,
    ) -> Vec<RequestRecord> {
        let is_over = |start_us: u64| start_us.saturating_add(spans.cell_us) <= now_us;
        let over = self.0.extract_if(|slot, _| is_over(slot.0));
        let mut records: Vec<RequestRecord> = over
            .filter_map(|(_, costliest)| costliest.into_record(spans, endpoints))
            .collect();
        records.sort_unstable_by(|a, b| (a.start_us, &a.endpoint).cmp(&(b.start_us, &b.endpoint)));
        records
    }
}

#[cfg(test)]
mod tests {
    use appweight_wire::Age;

    use super::*;
    use crate::clock::Now;
    use crate::counters::More;

    const SPANS: Spans = Spans {
        cell_us: 1_000,
        process_us: 1_000,
        instruction_source: InstructionSource::HardwareUser,
        cost: Some(Cost::Instructions),
    };

    fn usage(cpu_ns: u64, instructions: Option<u64>) -> Usage {
        let more = |instructions: Option<u64>| More {
            allocated: None,
            instructions: instructions.map(|count| [count, 0, 0]),
        };
        let mut usage = Usage::new();
        usage.add(Now::new(Some(0), 0), Now::new(Some(cpu_ns), 0));
        usage.add_more(&more(instructions.map(|_| 0)), &more(instructions));
        usage
    }

    fn costliest(endpoint: u32, instructions: u64, is_recorded: bool) -> Costliest {
        let ended = Ended {
            kind: Kind::Request,
            endpoint,
            weight: 1,
            end_us: 1_500,
            wall_ns: 200_000,
            usage: usage(7, Some(instructions)),
            status: Some(204),
            error: false,
            unfinished: false,
            is_recorded,
            age: Age::Warm,
            flags: Vec::new(),
            user: None,
        };
        let place = Place {
            endpoint,
            kind: Kind::Request,
            age: Age::Warm,
            weight: 1,
        };
        Costliest::new(&ended, place, instructions)
    }

    #[test]
    fn cost_is_instructions_where_they_are_counted_else_cpu_time_and_never_both() {
        let by = |source, usage| Cost::by(source).of(&usage);
        assert_eq!(by(InstructionSource::None, usage(7, Some(90))), Some(7));
        let source = InstructionSource::HardwareAll;
        assert_eq!(by(source, usage(7, Some(90))), Some(90));
        assert_eq!(by(source, usage(7, None)), None);
    }

    #[test]
    fn of_each_endpoint_the_costliest_of_all_threads_is_told_when_its_span_is_over() {
        let endpoints = Endpoints::new();
        let (a, b) = (endpoints.number("/a"), endpoints.number("/b"));
        let mut all = Costliests::default();
        for (start_us, endpoint, cost) in
            [(1_000, a, 5), (1_000, a, 9), (1_000, b, 3), (2_000, a, 4)]
        {
            all.add(start_us, costliest(endpoint, cost, false));
        }
        all.add(1_000, costliest(a, 8, true));
        assert_eq!(all.take(1_999, SPANS, &endpoints), []);
        let told: Vec<_> = all
            .take(2_000, SPANS, &endpoints)
            .into_iter()
            .map(|record| (record.endpoint, record.instructions, record.weight))
            .collect();
        assert_eq!(
            told,
            [("/a".to_owned(), Some(9), 0), ("/b".to_owned(), Some(3), 0)]
        );
        // One that is recorded anyway is not recorded twice, and nothing cheaper stands in.
        all.add(2_000, costliest(a, 8, true));
        assert_eq!(all.take(u64::MAX, SPANS, &endpoints), []);
    }

    #[test]
    fn the_bar_rises_within_a_span_and_kind_and_begins_anew_in_the_next() {
        let bar = Bar::default();
        let passes = |kind, span, cost| bar.is_passed(kind, span, cost);
        assert!(passes(Kind::Request, 7, 5) && passes(Kind::Task, 7, 1));
        assert!(!passes(Kind::Request, 7, 5) && !passes(Kind::Request, 7, 4));
        assert!(passes(Kind::Request, 7, 6));
        assert!(passes(Kind::Request, 8, 1) && !passes(Kind::Request, 8, 1));
        assert!(passes(Kind::Request, 8, u64::MAX));
        assert!(
            !passes(Kind::Request, 8, u64::MAX),
            "as much as can be told"
        );
    }

    #[test]
    fn of_many_threads_one_passes_with_the_highest() {
        let bar = Bar::default();
        let highest = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8_u64)
                .map(|thread| {
                    let bar = &bar;
                    scope.spawn(move || {
                        let costs = (0..10_000).map(|turn| turn * 8 + thread);
                        costs
                            .filter(|cost| bar.is_passed(Kind::Request, 1, *cost))
                            .max()
                    })
                })
                .collect();
            let passed = threads.into_iter().map(|thread| thread.join().unwrap());
            passed.flatten().collect::<Vec<_>>()
        });
        let top = 9_999 * 8 + 7;
        assert_eq!(highest.iter().filter(|cost| **cost == top).count(), 1);
    }

    #[test]
    fn what_is_known_at_the_end_is_told_and_the_start_is_absent() {
        let endpoints = Endpoints::new();
        let record = costliest(endpoints.number("/a"), 5, false).into_record(SPANS, &endpoints);
        let record = record.unwrap();
        assert_eq!((record.start_us, record.wall_ns), (1_300, 200_000));
        assert_eq!((record.status, record.cpu_ns), (Some(204), Some(7)));
        assert_eq!(record.instruction_source, InstructionSource::HardwareUser);
        assert_eq!((record.method, record.rss_start_bytes), (None, None));
    }
}
