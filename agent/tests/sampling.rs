//! Stacks of profiled requests: each function has its share, and each request its own functions.
//!
//! They need a program with frame pointers: `RUSTFLAGS="-C force-frame-pointers=yes" cargo test -p appweight-agent --test
//! sampling`. In one without, the agent has to say so, which is what the tests then see to. With
//! `APPWEIGHT_TEST_SAMPLING=require` they fail there.

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
#[path = "../src/counters/known_work.rs"]
mod known_work;
#[cfg(test)]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::time::{Duration, Instant};

use appweight_agent::{Agent, SamplingStatus};
use appweight_wire::{ProfileRecord, Taken};

use support::left_out::left_out;
use support::{SOON, TestCollector};

/// An agent that samples all requests, once it has found out how; `None` where it cannot and says why.
fn sampling(collector: &TestCollector) -> Option<Agent> {
    sampling_at(collector, 1_000)
}

fn sampling_at(collector: &TestCollector, per_second: u32) -> Option<Agent> {
    let agent = collector
        .agent()
        .profile_one_in(1)
        .sample_stacks(per_second)
        .start();
    let until = Instant::now() + SOON;
    loop {
        let SamplingStatus {
            read_by,
            absent_because,
            ..
        } = agent.status().sampling;
        let why = absent_because.unwrap_or_default();
        if read_by.is_some() {
            return Some(agent);
        }
        if why != "it has not been tried yet" {
            assert!(
                ["frame pointers", "perf_event", "no sample"]
                    .iter()
                    .any(|known| why.contains(known)),
                "{why}"
            );
            let required =
                std::env::var("APPWEIGHT_TEST_SAMPLING").is_ok_and(|how| how == "require");
            assert!(!required, "stacks are not sampled: {why}");
            left_out(why);
            return None;
        }
        assert!(Instant::now() < until, "it is not tried");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Arithmetic that the compiler cannot shorten, and that calls nothing: of a function that has not set its frame up yet
/// the caller is not seen. By its number no two are the same code, of which a linker may keep one.
macro_rules! function {
    ($name:ident $number:expr) => {
        #[inline(never)]
        pub(crate) fn $name(turns: u64) -> u64 {
            let (mut sum, mut turn) = (black_box(1_u64), 0);
            while turn < turns {
                sum = (sum << 5) ^ (sum >> 59) ^ turn;
                turn += 1;
            }
            // Not a call that returns elsewhere.
            black_box(sum) ^ $number
        }
    };
}

/// The same instructions at the same place: how a loop lies in memory decides how fast it is.
macro_rules! callers {
    ($($name:ident)*) => {$(
        #[inline(never)]
        fn $name(turns: u64) -> u64 {
            black_box(shared(turns)) ^ 1
        }
    )*};
}

callers! { three_tenths six_tenths one_tenth }
function! { shared 1 }

/// A thousand functions, `hundreds_0::tens_0::own_0` and so on: what symbols tell of a generic one may leave out its parameters.
mod thousand {
    macro_rules! hundreds {
        ($($name:ident $hundreds:literal)*) => {
            $(mod $name {
                tens! { $hundreds: tens_0 0 tens_1 1 tens_2 2 tens_3 3 tens_4 4 tens_5 5 tens_6 6 tens_7 7 tens_8 8 tens_9 9 }
            })*
            pub(super) const OWN: [[[fn(u64) -> u64; 10]; 10]; 10] = [$($name::OWN),*];
        };
    }

    macro_rules! tens {
        ($hundreds:literal: $($name:ident $tens:literal)*) => {
            $(mod $name {
                units! {
                    $hundreds $tens:
                    own_0 0 own_1 1 own_2 2 own_3 3 own_4 4 own_5 5 own_6 6 own_7 7 own_8 8 own_9 9
                }
            })*
            pub(super) const OWN: [[fn(u64) -> u64; 10]; 10] = [$($name::OWN),*];
        };
    }

    macro_rules! units {
        ($hundreds:literal $tens:literal: $($name:ident $units:literal)*) => {
            use std::hint::black_box;

            $(function! { $name 100 * $hundreds + 10 * $tens + $units })*
            pub(super) const OWN: [fn(u64) -> u64; 10] = [$($name),*];
        };
    }

    hundreds! {
        hundreds_0 0 hundreds_1 1 hundreds_2 2 hundreds_3 3 hundreds_4 4 hundreds_5 5 hundreds_6 6 hundreds_7 7 hundreds_8 8
        hundreds_9 9
    }

    /// What the function of that number is called.
    pub(super) fn name(number: usize) -> String {
        let [hundreds, tens, units] = [number / 100, number / 10 % 10, number % 10];
        format!("hundreds_{hundreds}::tens_{tens}::own_{units}")
    }
}

fn profiles(collector: &TestCollector) -> Vec<ProfileRecord> {
    let batches = collector.batches().into_iter();
    let profiles = batches.flat_map(|batch| batch.profiles);
    profiles
        .filter(|profile| profile.taken == Taken::Sampled)
        .collect()
}

/// What each function with one of these names, or below a module with one, cost with all that it calls: by its path from
/// there on.
fn costs(profiles: &[ProfileRecord], names: &[&str]) -> BTreeMap<String, i64> {
    let known: Vec<String> = names.iter().map(|name| format!("::{name}")).collect();
    let path = |function: &str| {
        let start = known.iter().find_map(|name| function.find(name.as_str()))?;
        Some(function[start + 2..].to_owned())
    };
    let mut costs = BTreeMap::new();
    for profile in profiles {
        let of_functions: Vec<Option<String>> =
            profile.functions.iter().map(|f| path(&f.name)).collect();
        // Whose each node is: unoptimised, also adding two numbers is a call.
        let mut whose: Vec<Option<String>> = vec![None];
        for node in 1..profile.parents.len() {
            let own = of_functions[profile.node_functions[node] as usize].clone();
            whose.push(own.or_else(|| whose[profile.parents[node] as usize].clone()));
        }
        for (whose, own) in whose.into_iter().zip(&profile.timers[0].own) {
            *costs.entry(whose.unwrap_or_default()).or_default() += own;
        }
    }
    costs
}

#[test]
fn samples_tell_the_share_of_each_function() {
    const REQUESTS: u64 = 300;
    let collector = TestCollector::start();
    let Some(agent) = sampling(&collector) else {
        return;
    };
    for request in 0..REQUESTS {
        // Of unlike length: requests that keep step with the samples would each be seen at the same places.
        let tenth = 700_000 + request * 7_919 % 600_000;
        agent.measure("shares", || {
            three_tenths(3 * tenth) ^ six_tenths(6 * tenth) ^ one_tenth(tenth)
        });
    }
    assert!(agent.shutdown(SOON));
    let profiles = profiles(&collector);
    let costs = costs(&profiles, &["three_tenths", "six_tenths", "one_tenth"]);
    let all: i64 = costs.values().sum();
    let share = |name: &str| 100.0 * costs.get(name).copied().unwrap_or(0) as f64 / all as f64;
    let shares = [
        share("three_tenths"),
        share("six_tenths"),
        share("one_tenth"),
    ];
    let status = agent.status().sampling;
    println!("{shares:.2?} of {} samples; {status:?}", status.samples);
    for (share, known) in shares.into_iter().zip([30.0, 60.0, 10.0]) {
        assert!((share - known).abs() < 3.0, "{shares:?}");
    }
    assert_eq!(profiles.iter().map(|p| p.requests).sum::<u64>(), REQUESTS);
    let in_profiles: u64 = profiles.iter().map(|p| p.samples).sum();
    assert_eq!(in_profiles + status.given_to_none, status.samples);
    // Known work in known time: what the samples say is what the thread used.
    assert!(
        profiles
            .iter()
            .all(|p| p.endpoint == "shares" && p.timers.len() == 1)
    );
}

#[test]
fn no_sample_is_given_to_a_wrong_request() {
    let collector = TestCollector::start();
    let Some(agent) = sampling(&collector) else {
        return;
    };
    // 1,000 requests that interleave on two threads, each of a name and in a function of its own.
    let own = thousand::OWN.as_flattened().as_flattened();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = own
            .iter()
            .enumerate()
            .map(|(task, &own)| {
                let name = thousand::name(task);
                tokio::spawn(agent.measure_future(name, async move {
                    for _ in 0..20 {
                        black_box(own(black_box(50_000)));
                        tokio::task::yield_now().await;
                    }
                }))
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    drop(runtime);
    assert!(agent.shutdown(SOON));
    let profiles = profiles(&collector);
    let mut right = 0;
    let mut seen = BTreeSet::new();
    for profile in &profiles {
        for (name, cost) in costs(std::slice::from_ref(profile), &["hundreds_"]) {
            if !name.is_empty() {
                assert_eq!(name, profile.endpoint, "{cost} given to a wrong request");
                right += cost;
                seen.insert(name);
            }
        }
    }
    let all: i64 = profiles.iter().flat_map(|p| &p.timers[0].own).sum();
    let status = agent.status().sampling;
    let share = |samples: u64| 100.0 * samples as f64 / (status.samples + status.lost) as f64;
    println!(
        "{} samples of 1,000 requests, {} of them seen in their own function; lost {:.3} %, given to none {:.3} %, to a wrong request 0 %, in their own function {:.1} %",
        status.samples,
        seen.len(),
        share(status.lost),
        share(status.given_to_none),
        100.0 * right as f64 / all as f64,
    );
    assert!(status.samples > 200, "{status:?}");
    assert!(
        right * 10 > all * 8,
        "most is in the functions that do the work"
    );
    assert_eq!((status.lost, status.unsampled_polls), (0, 0), "{status:?}");
    assert_eq!(profiles.iter().map(|p| p.requests).sum::<u64>(), 1_000);
    let names: BTreeSet<&str> = profiles.iter().map(|p| p.endpoint.as_str()).collect();
    assert_eq!(names.len(), 1_000, "names are kept apart");
    assert!(seen.len() > 500, "only {} functions were seen", seen.len());
}

#[test]
fn samples_of_the_process_belong_to_no_request() {
    let collector = TestCollector::start();
    let agent = collector.agent().sample_process(250).start();
    let until = Instant::now() + SOON;
    let why = loop {
        let status = agent.status().sampling;
        match status.process_absent_because.as_deref() {
            None => break None,
            Some("it has not been tried yet") => assert!(Instant::now() < until, "not tried"),
            Some(why) => break Some(why.to_owned()),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    if let Some(why) = why {
        assert!(why.contains("frame pointers"), "{why}");
        left_out(why);
        return;
    }
    agent.measure("somebody", || {
        let until = Instant::now() + Duration::from_millis(500);
        while Instant::now() < until {
            black_box(six_tenths(1_000_000));
        }
    });
    assert!(agent.shutdown(SOON));
    let profiles = profiles(&collector);
    assert!(!profiles.is_empty());
    for profile in &profiles {
        assert_eq!((profile.endpoint.as_str(), profile.requests), ("", 0));
        assert_eq!(profile.timers[0].name, "cpu");
    }
    let cost = costs(&profiles, &["six_tenths"]).remove("six_tenths");
    assert!(cost > Some(50_000_000), "{cost:?} ns seen of 500 ms");
}

/// By hardware instructions, in work whose number of instructions is known: in a virtual machine, see
/// `tests/pmu-vm/test`.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod hardware {
    use super::*;
    use crate::known_work::work;

    #[inline(never)]
    fn counted_three(turns: u64) {
        work(black_box(3 * turns));
        black_box(());
    }

    #[inline(never)]
    fn counted_six(turns: u64) {
        work(black_box(6 * turns));
        black_box(());
    }

    #[inline(never)]
    fn counted_one(turns: u64) {
        work(black_box(turns));
        black_box(());
    }

    #[test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    fn samples_of_instructions_tell_each_share_within_half_a_point() {
        let collector = TestCollector::start();
        let agent = sampling_at(&collector, 10_000).expect("stacks are sampled");
        let how = agent.status().sampling.read_by.unwrap();
        assert!(how.contains("instructions in user mode"), "{how}");
        for _ in 0..10 {
            agent.measure("shares", || {
                counted_three(5_000_000);
                counted_six(5_000_000);
                counted_one(5_000_000);
            });
        }
        assert!(agent.shutdown(SOON));
        let profiles = profiles(&collector);
        let timers: Vec<&str> = profiles.iter().map(|p| p.timers[0].name.as_str()).collect();
        assert!(
            timers.iter().all(|timer| *timer == "instructions"),
            "{timers:?}"
        );
        let costs = costs(&profiles, &["counted_"]);
        let all: i64 = costs.values().sum();
        let share = |name: &str| 100.0 * costs.get(name).copied().unwrap_or(0) as f64 / all as f64;
        let shares = [
            share("counted_three"),
            share("counted_six"),
            share("counted_one"),
        ];
        let status = agent.status().sampling;
        println!("{shares:.3?}; {all} instructions of 1,000,000,000; {status:?}");
        for (share, known) in shares.into_iter().zip([30.0, 60.0, 10.0]) {
            assert!((share - known).abs() < 0.5, "{shares:?}");
        }
        let known = 2 * 10 * 5_000_000 * 10;
        assert!(
            (all - known).abs() * 100 < known,
            "{all} instructions of {known}"
        );
        assert_eq!(status.lost, 0);
    }
}
