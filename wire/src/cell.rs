use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Distribution, Flag};

/// What was counted.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A request that a client waited for.
    #[default]
    Request,
    /// Work that nobody waited for: a queue's job, a timer.
    Task,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Request, Self::Task];

    /// What it is called in batches and in questions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Task => "task",
        }
    }
}

/// How the instructions of a cell were counted. Numbers of different sources are never compared.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum InstructionSource {
    /// Not counted; only times are there.
    #[default]
    None,
    /// By the CPU, in user mode only.
    HardwareUser,
    /// By the CPU, in user mode and in the kernel on its behalf.
    HardwareAll,
    /// By a simulator (Valgrind's callgrind).
    Simulated,
}

impl InstructionSource {
    /// Each of them.
    pub const ALL: [Self; 4] = [
        Self::None,
        Self::HardwareUser,
        Self::HardwareAll,
        Self::Simulated,
    ];

    /// What it is called in batches and in questions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::HardwareUser => "hardware_user",
            Self::HardwareAll => "hardware_all",
            Self::Simulated => "simulated",
        }
    }
}

/// How long the process had been running: caches fill in its first minutes, and a young process
/// is never compared with an old one.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Age {
    /// Younger than the agent's warm-up time when the request began.
    WarmingUp,
    /// Older.
    #[default]
    Warm,
}

impl Age {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Warm, Self::WarmingUp];

    /// What it is called in batches and in questions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WarmingUp => "warming_up",
            Self::Warm => "warm",
        }
    }
}

/// What the requests of a cell have in common, besides the batch's [`Origin`](crate::Origin).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellKey {
    /// When the cell begins: a multiple of its width. µs since the Unix epoch.
    pub start_us: u64,
    /// How long it lasts, in µs: a minute by default.
    pub width_us: u64,
    /// What was counted.
    #[serde(default)]
    pub kind: Kind,
    /// The route's template (`/users/{id}`), never the raw path; for a task its name.
    pub endpoint: String,
    /// How the instructions were counted.
    #[serde(default)]
    pub instruction_source: InstructionSource,
    /// How old the process was.
    #[serde(default)]
    pub age: Age,
    /// Set in the cells kept per feature flag, which hold the same requests once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<Flag>,
}

/// What one span of time of one endpoint of one process adds up to.
///
/// Sums are over the `n` counted requests, unweighted; `weight / n` is constant within a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Read")]
pub struct Cell {
    /// What its requests have in common.
    #[serde(flatten)]
    pub key: CellKey,
    /// How many requests were counted.
    pub n: u64,
    /// How many requests they stand for: `n`, unless the agent counts one in K.
    pub weight: u64,
    /// How many of the `n` failed: a status of 500 or more, a panic, a cancelled request.
    pub errors: u64,
    /// How many of the `n` have an instruction count that was scaled up because the counter was
    /// multiplexed with others.
    pub scaled: u64,
    /// How many of the `n` went on after the cell's end: responses that were still being sent. What they used
    /// later is counted in later cells, as requests of their own.
    #[serde(skip_serializing_if = "is_zero")]
    pub unfinished: u64,
    /// Instructions per request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<Distribution>,
    /// CPU time per request, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ns: Option<Distribution>,
    /// Wall-clock time per request, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ns: Option<Distribution>,
    /// Bytes allocated per request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated_bytes: Option<Distribution>,
}

/// A cell as it is read: with its key's fields among its own, since a key that is flattened is read twice, and an error in
/// it does not tell where.
#[derive(Deserialize)]
struct Read {
    start_us: u64,
    width_us: u64,
    #[serde(default)]
    kind: Kind,
    endpoint: String,
    #[serde(default)]
    instruction_source: InstructionSource,
    #[serde(default)]
    age: Age,
    #[serde(default)]
    flag: Option<Flag>,
    n: u64,
    weight: u64,
    #[serde(default)]
    errors: u64,
    #[serde(default)]
    scaled: u64,
    #[serde(default)]
    unfinished: u64,
    #[serde(default)]
    instructions: Option<Distribution>,
    #[serde(default)]
    cpu_ns: Option<Distribution>,
    #[serde(default)]
    wall_ns: Option<Distribution>,
    #[serde(default)]
    allocated_bytes: Option<Distribution>,
}

impl From<Read> for Cell {
    fn from(read: Read) -> Self {
        Self {
            key: CellKey {
                start_us: read.start_us,
                width_us: read.width_us,
                kind: read.kind,
                endpoint: read.endpoint,
                instruction_source: read.instruction_source,
                age: read.age,
                flag: read.flag,
            },
            n: read.n,
            weight: read.weight,
            errors: read.errors,
            scaled: read.scaled,
            unfinished: read.unfinished,
            instructions: read.instructions,
            cpu_ns: read.cpu_ns,
            wall_ns: read.wall_ns,
            allocated_bytes: read.allocated_bytes,
        }
    }
}

impl Cell {
    /// A cell without requests.
    #[must_use]
    pub fn new(key: CellKey) -> Self {
        Self {
            key,
            n: 0,
            weight: 0,
            errors: 0,
            scaled: 0,
            unfinished: 0,
            instructions: None,
            cpu_ns: None,
            wall_ns: None,
            allocated_bytes: None,
        }
    }

    /// Adds what another cell holds. The keys are the caller's business: cells of several hosts or
    /// minutes are added into one that stands for all of them.
    pub fn add(&mut self, other: &Self) {
        self.n = self.n.saturating_add(other.n);
        self.weight = self.weight.saturating_add(other.weight);
        self.errors = self.errors.saturating_add(other.errors);
        self.scaled = self.scaled.saturating_add(other.scaled);
        self.unfinished = self.unfinished.saturating_add(other.unfinished);
        add_metric(&mut self.instructions, other.instructions.as_ref());
        add_metric(&mut self.cpu_ns, other.cpu_ns.as_ref());
        add_metric(&mut self.wall_ns, other.wall_ns.as_ref());
        add_metric(&mut self.allocated_bytes, other.allocated_bytes.as_ref());
    }
}

/// Zeros are left out of what is written, by fields that came to the format later.
pub(crate) fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

fn add_metric(into: &mut Option<Distribution>, from: Option<&Distribution>) {
    if let Some(from) = from {
        into.get_or_insert_default().add(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_in_batches() {
        fn hold<T: Serialize + Copy>(all: &[T], name: fn(T) -> &'static str) {
            for one in all {
                let written = serde_json::to_value(one).unwrap();
                assert_eq!(written, name(*one));
            }
        }
        hold(&Kind::ALL, Kind::as_str);
        hold(&InstructionSource::ALL, InstructionSource::as_str);
        hold(&Age::ALL, Age::as_str);
        hold(&crate::Taken::ALL, crate::Taken::as_str);
    }

    #[test]
    fn an_absent_metric_stays_absent_and_a_present_one_is_kept() {
        let key = CellKey {
            start_us: 0,
            width_us: 60_000_000,
            kind: Kind::Request,
            endpoint: "/feed".into(),
            instruction_source: InstructionSource::None,
            age: Age::Warm,
            flag: None,
        };
        let mut with_cpu = Cell::new(key.clone());
        with_cpu.n = 1;
        with_cpu.weight = 1;
        with_cpu.unfinished = 1;
        with_cpu.cpu_ns.get_or_insert_default().observe(5);
        let mut sum = Cell::new(key);
        sum.add(&with_cpu);
        sum.add(&with_cpu);
        assert_eq!((sum.n, sum.unfinished), (2, 2));
        assert_eq!(sum.cpu_ns.as_ref().and_then(Distribution::mean), Some(5.0));
        assert_eq!(sum.instructions, None);
    }
}
