//! Flags beside deploys: those that stand, and those that are ramped up while a deploy rolls out. On files, and as the collector has them.

mod placed;

use std::collections::BTreeMap;

use appweight::api::{Detected, DetectedVerdict};
use appweight::detect::{CellLine, DeployLine, Detector, Ruling};
use appweight::evidence::PlacedCell;
use appweight::live::{Live, MINUTE_US};
use appweight::simulate::{RollOut, Shape, Simulation};
use appweight::thresholds::Thresholds;
use appweight_wire::{Deploy, Flag};

use placed::{deploy, placed};

/// A flag that costs so much, in logs, on one endpoint, and the share of users that have it in a minute since the day began.
struct Planted {
    name: String,
    effect: f64,
    share: Box<dyn Fn(i64) -> Option<f64>>,
}

struct Day {
    first: i64,
    deploys: Vec<Deploy>,
    deploy_lines: Vec<DeployLine>,
    lines: Vec<CellLine<'static>>,
}

fn shape() -> Shape {
    Shape {
        endpoints: 8,
        hosts_per_cluster: 4,
        deploys_per_day: 16,
        traps: false,
        changed_share: 0.6,
        changes: (0.05, 0.2),
        ..Shape::usual(400.0)
    }
}

/// The part of a cell that has a flag on, and the one that has it off.
fn split(line: &CellLine<'static>, share: f64, effect: f64) -> [CellLine<'static>; 2] {
    let on = (line.n * share).round();
    let part = |n: f64, effect: f64| {
        let of = n / line.n;
        CellLine {
            n,
            weight: line.weight * of,
            sum: line.sum * of * effect.exp(),
            sumlog: line.sumlog * of + n * effect,
            sumsqlog: line.sumsqlog * of + 2.0 * effect * line.sumlog * of + n * effect * effect,
            ..line.clone()
        }
    };
    [part(on, effect), part(line.n - on, 0.0)]
}

/// A day of deploys with those flags, of which each is told by all requests.
fn day(shape: &Shape, seed: u64, planted: &[Planted]) -> Day {
    let mut simulation = Simulation::new(shape, seed, 1);
    let deploy_lines = simulation.deploy_lines();
    let mut read: Vec<CellLine<'static>> = Vec::new();
    while simulation.next_minute(&mut |line| {
        let text = serde_json::to_string(line).expect("a cell is plain data");
        let text: &'static str = Box::leak(text.into_boxed_str());
        read.push(serde_json::from_str(text).expect("as written"));
    }) {}
    let first = read[0].minute;
    read.retain(|line| line.flag.is_none() && line.minute < first + MINUTES);
    let dearer = read[0].endpoint.clone();
    let mut lines = Vec::new();
    for line in read {
        let mut line = line;
        let mut told = Vec::new();
        for flag in planted {
            let effect = if line.endpoint == dearer {
                flag.effect
            } else {
                0.0
            };
            let Some(share) = (flag.share)(line.minute - first) else {
                continue;
            };
            let parts = split(&line, share, effect);
            line.sum = parts.iter().map(|part| part.sum).sum();
            line.sumlog = parts.iter().map(|part| part.sumlog).sum();
            line.sumsqlog = parts.iter().map(|part| part.sumsqlog).sum();
            for (part, value) in parts.into_iter().zip(["on", "off"]) {
                if part.n > 0.0 {
                    told.push(CellLine {
                        host: "*".into(),
                        flag: Some(flag.name.clone().into()),
                        value: Some(value.into()),
                        ..part
                    });
                }
            }
        }
        lines.push(line);
        lines.extend(told);
    }
    Day {
        first,
        deploys: deploy_lines.iter().map(deploy).collect(),
        deploy_lines,
        lines,
    }
}

impl Day {
    /// What the collector's detector says in the end, fed by ten minutes.
    fn live(&self, with_flags: bool) -> Vec<Detected> {
        let mut hosts = BTreeMap::new();
        let (mut cells, mut flags): (Vec<PlacedCell>, Vec<PlacedCell>) = (Vec::new(), Vec::new());
        for line in &self.lines {
            match (&line.flag, &line.value) {
                (Some(name), Some(value)) => {
                    let mut of_flag = placed(line, &mut hosts.clone());
                    of_flag.host_group = 0;
                    of_flag.cell.key.flag = Some(Flag {
                        name: name.to_string(),
                        value: value.to_string(),
                    });
                    flags.push(of_flag);
                }
                _ => cells.push(placed(line, &mut hosts)),
            }
        }
        if !with_flags {
            flags.clear();
        }
        let mut live = Live::new(&Thresholds::default(), self.first);
        let minute = |cell: &PlacedCell| (cell.cell.key.start_us / MINUTE_US) as i64;
        let end = minute(cells.last().expect("a day has cells")) + 1;
        while live.next_minute() < end {
            let (from, to) = (live.next_minute(), (live.next_minute() + 10).min(end));
            let begun = |deploy: &&Deploy| deploy.started_us < to as u64 * MINUTE_US;
            let begun: Vec<Deploy> = self.deploys.iter().filter(begun).cloned().collect();
            live.add_roll_outs(&begun, 0).expect("as they begin");
            let of = |cells: &[PlacedCell]| {
                let at = |end: i64| cells.partition_point(|cell| minute(cell) < end);
                cells[at(from)..at(to)].to_vec()
            };
            live.feed(&of(&cells), &of(&flags), to);
        }
        live.look();
        self.deploys.iter().map(|one| live.says(one)).collect()
    }

    /// How many deploys the detector of files calls in the end.
    fn called(&self) -> usize {
        let mut detector = Detector::new();
        for line in &self.deploy_lines {
            detector.add_deploy(line.clone());
        }
        let mut told = Vec::new();
        for line in &self.lines {
            told.extend(detector.add_cell(line).expect("a sound cell"));
        }
        told.extend(detector.finish());
        let mut last = BTreeMap::new();
        for line in told.iter().filter(|line| line.deploy.is_some()) {
            last.insert((&line.deploy, &line.endpoint), line.verdict);
        }
        let is_called = |ruling: &&Ruling| matches!(ruling, Ruling::Regressed | Ruling::Improved);
        last.values().filter(is_called).count()
    }
}

fn changed(said: &[Detected]) -> Vec<(usize, String)> {
    let mut changed = Vec::new();
    for (at, detected) in said.iter().enumerate() {
        for change in detected.changes() {
            let is_called = matches!(
                change.verdict,
                DetectedVerdict::Regressed | DetectedVerdict::Improved
            );
            if is_called {
                changed.push((at, change.endpoint.clone().unwrap_or_default()));
            }
        }
    }
    changed
}

fn standing(number: usize) -> Planted {
    Planted {
        name: format!("standing-{number}"),
        effect: 0.0,
        share: Box::new(|_| Some(0.5)),
    }
}

/// Ramped up in steps of ten minutes, from a tenth to a half of the users in that minute.
fn ramp(half_at: i64) -> Planted {
    Planted {
        name: "ramp".to_owned(),
        effect: 0.15,
        share: Box::new(move |minute| {
            let step = usize::try_from((minute - half_at).div_euclid(10) + 2).ok()?;
            Some([0.01, 0.1, 0.5, 1.0][step.min(3)])
        }),
    }
}

/// So much of the day is judged.
const MINUTES: i64 = 720;

#[test]
fn flags_that_stand_for_ever_change_nothing_of_what_is_said_of_deploys() {
    let flags: Vec<Planted> = (0..25).map(standing).collect();
    let day = day(&shape(), 3, &flags);
    let said = day.live(true);
    let without = day.live(false);
    assert!(changed(&without).len() >= 3, "{:?}", changed(&without));
    assert_eq!(said, without);
}

#[test]
fn what_a_ramp_costs_is_charged_to_no_deploy() {
    let shape = shape().unchanged();
    // All hosts restart at once, so that nothing but the flag's own cells tells the two apart.
    let at_once = (1..100).find_map(|seed| {
        let simulation = Simulation::new(&shape, seed, 1);
        let first = simulation.deploy_lines()[0].start;
        let mut deploys = simulation.plan.deploys.iter().skip(5).take(3);
        let at_once = deploys.find(|deploy| deploy.roll_out == RollOut::Instant);
        at_once.map(|deploy| (seed, deploy.start - first))
    });
    let (seed, start) = at_once.expect("one in ten is");
    assert!(start + 120 < MINUTES, "{start}");
    let flags = (0..2).map(standing).chain([ramp(start)]);
    let day = day(&shape, seed, &flags.collect::<Vec<Planted>>());
    let unaware = changed(&day.live(false));
    assert!(!unaware.is_empty(), "nobody would mistake this ramp");
    assert_eq!(changed(&day.live(true)), []);
    assert_eq!(day.called(), 0, "in a file");
}
