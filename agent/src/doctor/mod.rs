//! What can be counted here, how, at what cost, and what to change to get more.

mod advice;
mod machine;
mod price;

use std::thread;

use appweight_wire::InstructionSource;
use serde::Serialize;

pub use self::advice::Advice;
use self::advice::{Found, Instructions, advice};
pub use self::machine::Machine;
use self::price::ns_per_read;
use crate::allocator::allocations_are_counted;
use crate::clock::{self, cpu_clock};
use crate::counters::Counters;

/// What the agent finds on this machine, in this process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagnosis {
    /// Where it looked.
    pub machine: Machine,
    /// Each counter with its ways of being read.
    pub counters: Vec<Ways>,
    /// Whether CPU time is read so cheaply that every request is counted; else one in K is.
    pub counts_every_request: bool,
    /// Whether instructions are counted.
    pub counts_instructions: bool,
    /// What would help, what matters most first.
    pub advice: Vec<Advice>,
}

/// A counter and its ways of being read, best first. The first that is there is used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ways {
    /// As in the process record: `cpu`, `instructions`, `rss`, …
    pub counter: String,
    /// What one is.
    pub unit: String,
    /// At least one.
    pub ways: Vec<Way>,
}

/// One way of reading a counter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Way {
    /// How it is read.
    pub read_by: String,
    /// Why it is not there, in a sentence.
    pub absent_because: Option<String>,
    /// What one reading takes, ns: the quickest of some rounds, measured just now.
    pub ns_per_read: Option<f64>,
}

/// Looks at everything that can be counted in this process, and measures what reading it costs. That takes some
/// hundred milliseconds, in a thread of its own; nothing of it lasts.
///
/// It tells of the process that calls it: another container, user, C library or allocator may find something else.
///
/// # Errors
/// If the system gives no thread for it.
pub fn doctor() -> std::io::Result<Diagnosis> {
    let looking = thread::Builder::new()
        .name("appweight-doctor".into())
        .spawn(diagnose)?;
    looking
        .join()
        .map_err(|_| std::io::Error::other("the look at the counters broke off"))
}

fn diagnose() -> Diagnosis {
    let counters = Counters::probe();
    let clock = cpu_clock();
    let mut all = vec![Ways {
        counter: "cpu".to_owned(),
        unit: "ns".to_owned(),
        ways: clock::ways()
            .into_iter()
            .map(|(way, clock)| {
                Way::found(
                    &way.to_string(),
                    clock.map(|clock| ns_per_read(|| clock.now())),
                )
            })
            .collect(),
    }];
    let instructions = counters.instruction_counter();
    all.push(Ways {
        counter: "instructions".to_owned(),
        unit: "instructions".to_owned(),
        ways: instructions
            .ways()
            .into_iter()
            .map(|(name, read)| Way::found(&name, read.map(ns_per_read)))
            .collect(),
    });
    counters.each(&mut |counter| {
        if all.iter().any(|known| known.counter == counter.name()) {
            return;
        }
        let access = counter.access();
        let price = access.map(|_| ns_per_read(|| counter.read()));
        all.push(Ways {
            counter: counter.name().to_owned(),
            unit: counter.unit().to_owned(),
            ways: vec![Way::found(
                access.unwrap_or(counter.name()),
                price.map_err(str::to_owned),
            )],
        });
    });
    let machine = Machine::look();
    let found = Found {
        cpu_is_cheap: clock.way().is_cheap(),
        no_page: clock::page_refusal(),
        instructions: if instructions.are_counted() {
            Instructions::There {
                with_kernel: instructions.source() == InstructionSource::HardwareAll,
                in_user_space: instructions.are_read_in_user_space(),
            }
        } else {
            Instructions::Absent(instructions.cause())
        },
        allocations: allocations_are_counted(),
    };
    Diagnosis {
        counts_every_request: found.cpu_is_cheap,
        counts_instructions: instructions.are_counted(),
        advice: advice(found, &machine),
        machine,
        counters: all,
    }
}

impl Ways {
    /// The one that is used: the first that is there.
    #[must_use]
    pub fn in_use(&self) -> Option<&Way> {
        self.ways.iter().find(|way| way.absent_because.is_none())
    }
}

impl Way {
    fn found(read_by: &str, price: Result<f64, String>) -> Self {
        Self {
            read_by: read_by.to_owned(),
            ns_per_read: price.as_ref().ok().copied(),
            absent_because: price.err(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_told_with_its_price_or_its_absence() {
        let found = doctor().unwrap();
        let names: Vec<&str> = found.counters.iter().map(|c| c.counter.as_str()).collect();
        let known = Counters::probe();
        for status in known.statuses() {
            assert!(names.contains(&status.name.as_str()), "{names:?}");
            let ways = found
                .counters
                .iter()
                .find(|c| c.counter == status.name)
                .unwrap();
            assert_eq!(
                ways.in_use().is_some(),
                status.read_by.is_some(),
                "{ways:?} {status:?}"
            );
        }
        for way in found.counters.iter().flat_map(|counter| &counter.ways) {
            assert_ne!(
                way.ns_per_read.is_some(),
                way.absent_because.is_some(),
                "{way:?}"
            );
            assert!(
                way.ns_per_read.is_none_or(|ns| ns > 0.0 && ns < 1e6),
                "{way:?}"
            );
        }
        assert_eq!(found.counts_every_request, cpu_clock().way().is_cheap());
        assert_eq!(
            found.counters[0].ways.len(),
            3,
            "the CPU clock has three ways"
        );
    }
}
