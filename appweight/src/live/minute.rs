use std::collections::BTreeMap;

use appweight_wire::{Distribution, InstructionSource, Kind};

use super::{MINUTE_US, Unfit, minute_of};
use crate::api::Metric;
use crate::evidence::{ALL_HOSTS, PlacedCell};

/// Cells of a minute that are judged at most: endpoints × hosts. A day of so many takes the detector some six seconds.
pub(super) const MOST_CELLS: usize = 4_096;

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) metric: Metric,
    source: InstructionSource,
}

/// Whose requests a cell of the detector holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place<'a> {
    pub(super) minute: i64,
    pub(super) deploy: &'a str,
    pub(super) kind: Kind,
    pub(super) endpoint: &'a str,
    pub(super) cluster: &'a str,
    pub(super) host_group: u8,
}

/// What the detector reads of them, young and warm processes together: it tells by itself who has warmed up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    pub(crate) n: f64,
    pub(crate) weight: f64,
    pub(crate) sum: f64,
    pub(crate) log: f64,
    pub(crate) square_log: f64,
}

impl Counted {
    /// Instructions where each of these cells has them, all from one source; else CPU time. `None` if there are no cells.
    pub(crate) fn of(cells: &[PlacedCell]) -> Option<Self> {
        let source = cells.first()?.cell.key.instruction_source;
        let counted = |placed: &PlacedCell| {
            placed.cell.key.instruction_source == source && placed.cell.instructions.is_some()
        };
        let all = source != InstructionSource::None && cells.iter().all(counted);
        Some(if all {
            Self {
                metric: Metric::Instructions,
                source,
            }
        } else {
            Self {
                metric: Metric::Cpu,
                source: InstructionSource::None,
            }
        })
    }

    pub(crate) fn read<'a>(&self, placed: &'a PlacedCell) -> Option<&'a Distribution> {
        let cell = &placed.cell;
        let distribution = match self.metric {
            Metric::Cpu => cell.cpu_ns.as_ref(),
            Metric::Instructions if cell.key.instruction_source == self.source => {
                cell.instructions.as_ref()
            }
            Metric::Instructions => None,
        };
        distribution.filter(|distribution| distribution.n > 0)
    }
}

/// Cells in the order in which the detector takes them.
pub(super) struct Minutes<'a> {
    pub(super) sums: BTreeMap<Place<'a>, Sums>,
    /// The last minute that it cannot take.
    pub(super) unfit: Option<(i64, Unfit)>,
    /// How many have more of them than are judged.
    pub(super) left_out: u64,
}

pub(super) fn minutes(cells: &[PlacedCell], counted: Counted) -> Minutes<'_> {
    let mut sums: BTreeMap<Place<'_>, Sums> = BTreeMap::new();
    let mut unfit: Option<(i64, Unfit)> = None;
    let mut refuse = |minute: i64, why: Unfit| {
        if unfit.is_none_or(|(at, _)| at <= minute) {
            unfit = Some((minute, why));
        }
    };
    for placed in cells.iter().filter(|placed| placed.cell.key.flag.is_none()) {
        let key = &placed.cell.key;
        let minute = minute_of(key.start_us);
        if key.width_us != MINUTE_US {
            refuse(minute, Unfit::Width(key.width_us));
        } else if placed.host_group == ALL_HOSTS {
            refuse(minute, Unfit::Folded);
        } else if let Some(distribution) = counted.read(placed) {
            let place = Place {
                minute,
                deploy: &placed.deploy,
                kind: key.kind,
                endpoint: &key.endpoint,
                cluster: &placed.cluster,
                host_group: placed.host_group,
            };
            sums.entry(place)
                .or_default()
                .add(distribution, placed.cell.weight);
        }
    }
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for place in sums.keys() {
        *counts.entry(place.minute).or_default() += 1;
    }
    counts.retain(|_, cells| *cells > MOST_CELLS);
    for (minute, cells) in &counts {
        refuse(*minute, Unfit::TooMany(*cells));
    }
    sums.retain(|place, _| !counts.contains_key(&place.minute));
    Minutes {
        sums,
        unfit,
        left_out: counts.len() as u64,
    }
}

impl Sums {
    pub(crate) fn add(&mut self, distribution: &Distribution, weight: u64) {
        // The format's logarithms are of base 2, in units of 2⁻¹⁶.
        const LOG_UNIT: f64 = std::f64::consts::LN_2 / 65_536.0;
        self.n += distribution.n as f64;
        self.weight += weight as f64;
        self.sum += distribution.sum as f64;
        self.log += distribution.sum_logs as f64 * LOG_UNIT;
        self.square_log += distribution.sum_squared_logs.as_f64() * LOG_UNIT * LOG_UNIT;
    }
}

/// Whose requests of a minute a flag's cell of the detector holds, on all hosts: a flag tells nothing of hosts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FlagPlace<'a> {
    pub(super) flag: &'a str,
    pub(super) value: &'a str,
    pub(super) deploy: &'a str,
    pub(super) kind: Kind,
    pub(super) endpoint: &'a str,
    pub(super) cluster: &'a str,
}

/// Cells of flags by minute. What a minute has beyond so many as are judged is not looked at: of that minute nothing is known of flags.
pub(super) fn flag_minutes(
    cells: &[PlacedCell],
    counted: Counted,
) -> BTreeMap<i64, BTreeMap<FlagPlace<'_>, Sums>> {
    let mut minutes: BTreeMap<i64, BTreeMap<FlagPlace<'_>, Sums>> = BTreeMap::new();
    for placed in cells {
        let key = &placed.cell.key;
        let (Some(flag), Some(distribution)) = (&key.flag, counted.read(placed)) else {
            continue;
        };
        if key.width_us == MINUTE_US {
            let place = FlagPlace {
                flag: &flag.name,
                value: &flag.value,
                deploy: &placed.deploy,
                kind: key.kind,
                endpoint: &key.endpoint,
                cluster: &placed.cluster,
            };
            let minute = minutes.entry(minute_of(key.start_us)).or_default();
            let sums = minute.entry(place).or_default();
            sums.add(distribution, placed.cell.weight);
        }
    }
    minutes.retain(|_, cells| cells.len() <= MOST_CELLS);
    minutes
}

#[cfg(test)]
mod tests {
    use appweight_wire::{Age, Cell, CellKey};

    use super::*;

    fn cell(minute: u64, age: Age, values: &[u64]) -> PlacedCell {
        let mut cell = Cell::new(CellKey {
            start_us: minute * MINUTE_US,
            width_us: MINUTE_US,
            kind: Kind::Request,
            endpoint: "/feed".to_owned(),
            instruction_source: InstructionSource::None,
            age,
            flag: None,
        });
        for value in values {
            cell.n += 1;
            cell.weight += 2;
            cell.cpu_ns.get_or_insert_default().observe(*value);
        }
        PlacedCell {
            deploy: "a".to_owned(),
            cluster: "c".to_owned(),
            host_group: 3,
            cell,
        }
    }

    fn cpu() -> Counted {
        Counted {
            metric: Metric::Cpu,
            source: InstructionSource::None,
        }
    }

    #[test]
    fn logs_are_natural_and_young_processes_are_added_to_old_ones() {
        let cells = [
            cell(7, Age::WarmingUp, &[1_000, 3_000]),
            cell(7, Age::Warm, &[2_000]),
        ];
        let Minutes { sums, unfit, .. } = minutes(&cells, cpu());
        assert_eq!((sums.len(), unfit), (1, None));
        let (place, sums) = sums.first_key_value().unwrap();
        assert_eq!(place.minute, 7);
        assert_eq!((sums.n, sums.weight, sums.sum), (3.0, 6.0, 6_000.0));
        let logs = [1e3_f64, 2e3, 3e3].map(f64::ln);
        assert!((sums.log - logs.iter().sum::<f64>()).abs() < 1e-3);
        let squares: f64 = logs.iter().map(|log| log * log).sum();
        assert!((sums.square_log - squares).abs() < 1e-2);
    }

    #[test]
    fn seconds_and_folded_hosts_are_not_taken() {
        let mut second = cell(7, Age::Warm, &[1]);
        second.cell.key.width_us = 1_000_000;
        let mut folded = cell(6, Age::Warm, &[1]);
        folded.host_group = ALL_HOSTS;
        let cells = [folded, second];
        let Minutes { sums, unfit, .. } = minutes(&cells, cpu());
        assert_eq!(sums.len(), 0);
        assert_eq!(unfit, Some((7, Unfit::Width(1_000_000))));
    }

    #[test]
    fn a_minute_of_too_many_is_left_out_whole_and_counted() {
        let many = (0..=MOST_CELLS).map(|at| {
            let mut cell = cell(7, Age::Warm, &[1]);
            cell.cell.key.endpoint = at.to_string();
            cell
        });
        let mut cells: Vec<PlacedCell> = many.collect();
        cells.push(cell(8, Age::Warm, &[1]));
        let minutes = minutes(&cells, cpu());
        assert_eq!((minutes.sums.len(), minutes.left_out), (1, 1));
        assert_eq!(minutes.unfit, Some((7, Unfit::TooMany(MOST_CELLS + 1))));
    }

    #[test]
    fn instructions_are_judged_where_all_have_them_from_one_source() {
        let mut counted = cell(1, Age::Warm, &[5]);
        counted.cell.key.instruction_source = InstructionSource::HardwareUser;
        counted.cell.instructions.get_or_insert_default().observe(9);
        let of = |cells: &[PlacedCell]| Counted::of(cells).map(|counted| counted.metric);
        assert_eq!(of(&[]), None);
        assert_eq!(
            of(&[counted.clone(), counted.clone()]),
            Some(Metric::Instructions)
        );
        assert_eq!(of(&[counted, cell(1, Age::Warm, &[5])]), Some(Metric::Cpu));
    }
}
