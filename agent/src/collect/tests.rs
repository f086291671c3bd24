use std::sync::Arc;
use std::thread;
use std::time::Instant;

use appweight_wire::{Cell, Format, Kind, decode_batch};

use super::*;
use crate::counters::Counters;
use crate::hooks::Hooks;
use crate::measurement::{Guarded, Measurement, Outcome};
use crate::settings::{OneIn, Settings};
use crate::shard::Ended;

const WIDTH: Duration = Duration::from_millis(20);
const HOUR_US: i64 = 3_600_000_000;

fn core() -> &'static Core {
    let mut settings = Settings::default();
    settings.origin.service = "tested".to_owned();
    settings.cell_width = WIDTH;
    settings.process_interval = WIDTH;
    settings.record_one_in = 0;
    settings.profile_one_in = 0;
    settings.count_one_in = Some(OneIn::Fixed(1));
    Core::new(settings, Arc::new(Hooks::default()), Counters::probe())
}

fn count(core: &'static Core, tasks: usize) {
    for _ in 0..tasks {
        let begun = Measurement::begin(core, Kind::Task, "task:clock", None, None);
        let mut task = Guarded::new(begun);
        drop(task.enter());
        task.release().unwrap().finish(Outcome::DONE);
    }
}

/// What was sealed since the last time.
fn sealed(core: &Core) -> Vec<Batch> {
    let batches = core.queue.drain();
    batches
        .iter()
        .map(|batch| {
            let body = zstd::stream::decode_all(batch.bytes.as_slice()).unwrap();
            decode_batch(&body, Format::MessagePack).unwrap()
        })
        .collect()
}

#[test]
fn what_ends_after_the_last_fetch_is_not_counted() {
    let core = core();
    let mut collector = Collector::new(core);
    count(core, 3);
    core.switch_off();
    collector.turn(true);
    // It had looked whether the agent is on before it was switched off.
    core.count(Ended {
        weight: 1,
        ..Ended::default()
    });
    let place = core.shards().place().unwrap();
    core.end(place, |_, _| ());
    let (_, unfetched) = core.shards().look(core.spans(), core.endpoints());
    assert_eq!((unfetched.requests, unfetched.tasks), (0, 0));
    let cells = sealed(core).into_iter().flat_map(|batch| batch.cells);
    assert_eq!(cells.map(|cell| cell.n).sum::<u64>(), 3);
}

#[test]
fn a_clock_that_is_set_forward_or_back_costs_no_count_and_no_process_record() {
    const TASKS: usize = 100;
    let core = core();
    let mut collector = Collector::new(core);
    let mut cells: Vec<Cell> = Vec::new();
    let jumps = [0, HOUR_US, 0, -HOUR_US, -2 * HOUR_US, HOUR_US];
    for jump in jumps {
        core.set_clock(jump);
        // Counted by the clock as it was, until the agent's thread looks at it.
        count(core, TASKS / 2);
        collector.turn(false);
        count(core, TASKS / 2);
        let begun = Instant::now();
        let mut processes = 0;
        while processes == 0 {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "no process record after a jump to {jump} µs"
            );
            thread::sleep(WIDTH);
            collector.turn(false);
            for batch in sealed(core) {
                processes += batch.processes.len();
                cells.extend(batch.cells);
            }
        }
    }
    collector.turn(true);
    cells.extend(sealed(core).into_iter().flat_map(|batch| batch.cells));
    let counted: u64 = cells.iter().map(|cell| cell.n).sum();
    assert_eq!(counted, (jumps.len() * TASKS) as u64);
    let width_us = crate::core::micros(WIDTH);
    for cell in cells {
        assert_eq!(cell.key.start_us % width_us, 0, "{:?}", cell.key);
    }
}
