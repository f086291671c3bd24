use appweight_agent::{Advice, Machine, Way, Ways};
use clap::Parser;

use super::*;
use crate::args::{Args, Command};

fn way(read_by: &str, found: Result<f64, &str>) -> Way {
    Way {
        read_by: read_by.to_owned(),
        absent_because: found.err().map(str::to_owned),
        ns_per_read: found.ok(),
    }
}

fn ways(counter: &str, ways: Vec<Way>) -> Ways {
    Ways {
        counter: counter.to_owned(),
        unit: "ns".to_owned(),
        ways,
    }
}

/// What a virtual machine without counters finds.
fn found() -> Diagnosis {
    Diagnosis {
        machine: Machine {
            cpu_model: "Fast CPU @ 3 GHz".to_owned(),
            kernel: "6.12.0".to_owned(),
            architecture: "x86_64".to_owned(),
            c_library: "glibc 2.36".to_owned(),
            perf_event_paranoid: Some(2),
            perfmon: Some(false),
            seccomp_filter: None,
            reads_in_user_space: None,
            open_files: Some(1_024),
            frame_pointers: Some(false),
        },
        counters: vec![
            ways(
                "cpu",
                vec![
                    way(
                        "restartable sequence and time-stamp counter",
                        Err("the trial says so"),
                    ),
                    way("task-clock event page and time-stamp counter", Ok(12.345)),
                    way("clock_gettime(CLOCK_THREAD_CPUTIME_ID)", Ok(321.6)),
                ],
            ),
            ways(
                "instructions",
                vec![way("instructions", Err("there is no unit"))],
            ),
            ways("rss", vec![way("/proc/self/statm", Ok(980.0))]),
        ],
        counts_every_request: true,
        counts_instructions: false,
        advice: vec![Advice {
            gain: "something is missing: with it there is more".to_owned(),
            change: "sysctl something=1".to_owned(),
        }],
    }
}

fn options(words: &[&str]) -> DoctorArgs {
    let words = ["appweight", "doctor"].iter().chain(words);
    match Args::parse_from(words).command {
        Command::Doctor(options) => options,
        other => panic!("the command is doctor, not {other:?}"),
    }
}

fn told(found: &Diagnosis) -> String {
    let mut out = Vec::new();
    tell(found, &options(&[]), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn it_is_told_with_the_way_in_use_the_prices_and_what_to_change() {
    insta::assert_snapshot!(told(&found()));
    let healthy = Diagnosis {
        counts_instructions: true,
        advice: Vec::new(),
        ..found()
    };
    assert!(!told(&healthy).contains("To get more"));
    let thinned = Diagnosis {
        counts_every_request: false,
        ..found()
    };
    assert!(told(&thinned).contains("One request in K"));
}

#[test]
fn the_status_is_what_is_asked_for() {
    let [all, instructions] = [options(&[]), options(&["--require-instructions"])];
    assert_eq!(status(&found(), &all), 0);
    assert_eq!(status(&found(), &instructions), 1);
    let counted = Diagnosis {
        counts_instructions: true,
        ..found()
    };
    assert_eq!(status(&counted, &instructions), 0);
    let thinned = Diagnosis {
        counts_every_request: false,
        ..counted
    };
    assert_eq!(status(&thinned, &all), 1);
}
