//! The detector as the collector runs it: on cells of the format, fed while they come.

mod placed;

use std::collections::BTreeMap;

use appweight::api::{Detected, DetectedVerdict, Metric};
use appweight::evidence::PlacedCell;
use appweight::live::{Live, MINUTE_US, Rewritten};
use appweight::simulate::{Shape, Simulation};
use appweight::thresholds::Thresholds;
use appweight_wire::Deploy;

use placed::{deploy, placed};

struct Day {
    deploys: Vec<Deploy>,
    /// By rising minute.
    cells: Vec<PlacedCell>,
}

/// A day of eight endpoints, of which several deploys change one.
fn day(seed: u64) -> Day {
    let shape = Shape {
        endpoints: 8,
        hosts_per_cluster: 4,
        deploys_per_day: 16,
        changed_share: 0.6,
        changes: (0.05, 0.2),
        ..Shape::usual(400.0)
    };
    let mut simulation = Simulation::new(&shape, seed, 1);
    let deploys = simulation.deploy_lines().iter().map(deploy).collect();
    let (mut cells, mut hosts) = (Vec::new(), BTreeMap::new());
    while simulation.next_minute(&mut |line| {
        if line.flag.is_none() {
            cells.push(placed(line, &mut hosts));
        }
    }) {}
    Day { deploys, cells }
}

fn minute(placed: &PlacedCell) -> i64 {
    (placed.cell.key.start_us / MINUTE_US) as i64
}

impl Day {
    fn first_minute(&self) -> i64 {
        minute(&self.cells[0])
    }

    fn begin(&self) -> Live {
        let mut live = Live::new(&Thresholds::default(), self.first_minute());
        // Those that are known in the end are announced as they come.
        live.add_roll_outs(&self.begun(self.first_minute()), 0)
            .expect("it has seen nothing");
        live
    }

    fn begun(&self, until: i64) -> Vec<Deploy> {
        let begun = |deploy: &&Deploy| deploy.started_us < until as u64 * MINUTE_US;
        self.deploys.iter().filter(begun).cloned().collect()
    }

    /// Feeds it up to that minute, so many at once.
    fn feed(&self, live: &mut Live, until: i64, step: i64) {
        while live.next_minute() < until {
            let end = (live.next_minute() + step).min(until);
            live.add_roll_outs(&self.begun(end), 0)
                .expect("they come as they begin");
            let from = self
                .cells
                .partition_point(|cell| minute(cell) < live.next_minute());
            let to = self.cells.partition_point(|cell| minute(cell) < end);
            live.feed(&self.cells[from..to], &[], end);
            live.look();
        }
    }

    fn said(&self, live: &Live) -> Vec<Detected> {
        self.deploys
            .iter()
            .map(|deploy| live.says(deploy))
            .collect()
    }
}

#[test]
fn who_reads_all_again_is_told_the_same() {
    let day = day(3);
    let mut live = day.begin();
    let mut seen = [false; 3];
    for minutes in [300, 433, 580, 673] {
        let until = day.first_minute() + minutes;
        day.feed(&mut live, until, 1);
        let mut again = day.begin();
        day.feed(&mut again, until, 37);
        let said = day.said(&live);
        assert_eq!(said, day.said(&again));
        for detected in said.iter().filter(|detected| detected.judges) {
            seen[0] |= detected.watches;
            seen[1] |= !detected.watches;
            seen[2] |= detected.says(DetectedVerdict::Regressed);
        }
    }
    assert_eq!(seen, [true; 3], "under watch, after it, and regressed");
}

#[test]
fn a_change_is_told_while_its_roll_out_is_under_watch() {
    let day = day(3);
    let mut live = day.begin();
    let mut found = 0;
    for hours in 1..22 {
        day.feed(&mut live, day.first_minute() + 60 * hours, 5);
        for detected in day.said(&live).iter().filter(|detected| detected.watches) {
            assert_eq!(detected.metric, Some(Metric::Instructions));
            for change in &detected.endpoints {
                // Deploys of this day change 5 % and more. An endpoint drifts by 2.5 % in four hours, which is
                // charged to a deploy at times: how often, `appweight evaluate` tells.
                let relative = change.change.map_or(0.0, |change| change.relative);
                if change.verdict == DetectedVerdict::Regressed && relative > 0.02 {
                    found += 1;
                    assert!(change.sure_since_us < detected.until_us, "{change:?}");
                    assert!(!change.checks.is_empty(), "{change:?}");
                    let cost = change.cost.expect("it is called");
                    assert!(cost.share > 0.0 && cost.share < relative, "{change:?}");
                }
            }
        }
    }
    assert!(found >= 3, "{found}");
}

#[test]
fn what_it_lacks_is_said() {
    let day = day(3);
    let until = day.first_minute() + 300;
    let second = &day.deploys[2];
    let because = |change: &dyn Fn(&mut PlacedCell)| {
        let mut other = Day {
            deploys: day.deploys.clone(),
            cells: day.cells.clone(),
        };
        other.cells.iter_mut().for_each(change);
        let mut live = other.begin();
        other.feed(&mut live, until, 60);
        let said = live.says(second);
        assert!(!said.judges && !said.watches, "{said:?}");
        said.because
    };
    let seconds = because(&|placed| placed.cell.key.width_us = 1_000_000);
    assert!(seconds.contains("cells of 1 s"), "{seconds}");
    let few = because(&|placed| placed.host_group %= 1);
    assert!(few.contains("2 groups of hosts"), "{few}");
    let first = day.begin().says(&day.deploys[0]);
    assert!(!first.judges, "{first:?}");
}

#[test]
fn a_roll_out_that_was_told_late_asks_for_all_to_be_read_again() {
    let day = day(3);
    let mut live = day.begin();
    day.feed(&mut live, day.first_minute() + 200, 10);
    let mut late = day.begun(live.next_minute());
    late.push(Deploy {
        id: "late".to_owned(),
        started_us: (live.next_minute() as u64 - 1) * MINUTE_US,
        ..day.deploys[0].clone()
    });
    assert_eq!(live.add_roll_outs(&late, 0), Err(Rewritten));
}
