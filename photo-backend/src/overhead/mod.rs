//! What the agent costs the service: the same build with it and without it, as processes side by side
//! that answer the same requests in turns.
//!
//! What one start of a process happens to get (addresses, hash seeds, places in caches) stays with it
//! however long it runs, so all are started anew again and again, and the error is that between
//! starts. A second process without the agent shows what the method finds where there is nothing.

mod instance;
mod load;
mod processes;
mod row;
mod sides;

use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::traffic::Mix;
use crate::{Endpoint, StoreError, seed};
use instance::Machine;
use load::{Ask, Block};
use processes::AgentCpu;
pub use row::{Change, Row};
use row::{mean, row, sum_up};
use sides::{Side, Sides};

/// The bar for throughput, either way.
const THROUGHPUT_BAR: f64 = 0.01;
/// The bar for the 99th percentile of latency, either way.
const P99_BAR: f64 = 0.03;
/// Of the service's CPU time, so much may be the agent's.
const AGENT_BAR: f64 = 0.003;
/// Requests of the first block, by which the others are cut to length.
const FIRST_BLOCK: usize = 300;

/// What to measure.
#[derive(Debug, Clone)]
pub struct OverheadOptions {
    /// The program `appweight`.
    pub appweight: PathBuf,
    /// The program `photo-backend`.
    pub photo_backend: PathBuf,
    /// Which endpoints are asked.
    pub workload: Workload,
    /// How often all processes are started anew.
    pub starts: usize,
    /// Pairs of blocks in each start.
    pub pairs: usize,
    /// How long a block takes, about.
    pub block: Duration,
    /// Connections that ask, each waiting for its answer.
    pub connections: usize,
    /// Users in the database.
    pub users: u32,
    /// One request in this many is recorded with all its facts.
    pub record_one_in: u64,
    /// Decides who asks for what, and the order of the blocks.
    pub seed: u64,
    /// The second process without the agent has a layer that does nothing: what any layer costs.
    pub idle_layer: bool,
}

/// Which endpoints are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Workload {
    /// All, in the day's proportions.
    Mix,
    /// One alone.
    Only(Endpoint),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overhead {
    /// Which endpoints were asked.
    pub workload: Workload,
    /// How often all processes were started anew.
    pub starts: usize,
    /// Pairs of blocks in each start.
    pub pairs: usize,
    /// Requests of a block.
    pub requests_per_block: usize,
    /// Whether the second process without the agent had a layer that does nothing.
    #[serde(default)]
    pub idle_layer: bool,
    /// Of the CPUs that the service may use, the share that it used in its blocks.
    pub busy: f64,
    /// Throughput, latency, CPU time per request: with the agent against without it.
    pub rows: Vec<Row>,
    /// The agent's own CPU time, all of its threads, as its process records tell.
    pub agent_cpu_ns: u64,
    /// CPU time of the whole process in the same spans.
    pub process_cpu_ns: u64,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum OverheadError {
    /// The database cannot be made.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A program did not do what it should.
    #[error("{0}")]
    Failed(String),
}

impl Overhead {
    /// The agent's share of the process's CPU time.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 ns of shares")]
    pub fn agent_share(&self) -> f64 {
        self.agent_cpu_ns as f64 / self.process_cpu_ns as f64
    }

    /// The most that it may be.
    #[must_use]
    pub const fn agent_bar() -> f64 {
        AGENT_BAR
    }
}

/// Measures. `progress` is told how many blocks of how many are done.
///
/// # Errors
/// If a program does not start, or a request fails.
pub async fn measure(
    options: &OverheadOptions,
    mut progress: impl FnMut(usize, usize),
) -> Result<Overhead, OverheadError> {
    let machine = Machine::look()?;
    let folder = machine.folder()?;
    let database = folder.path().join("photos.db");
    seed(&database, options.users)?;
    let collector = machine.collector(&options.appweight, folder.path()).await?;
    let mut agent_cpu = AgentCpu::of(&collector.url);
    let mut requests = Requests::new(options);
    let mut order = Rng::with_seed(options.seed);
    let mut block_requests = FIRST_BLOCK;
    let mut found = Vec::new();
    for start in 0..options.starts {
        let mut sides = Sides::start(options, &machine, &database, &collector.url, start).await?;
        // Until caches are warm; a longer block each time, until it is as long as was asked for.
        for _ in 0..3 {
            let block = requests.take(block_requests).await;
            let mut seconds = 0.0;
            for side in Side::ALL {
                seconds += sides.ask(side, block.clone()).await?.seconds;
            }
            if start == 0 {
                block_requests = cut(block.len(), seconds / 3.0, options.block);
            }
        }
        sides.begin_to_count()?;
        let mut blocks = Vec::with_capacity(options.pairs);
        for pair in 0..options.pairs {
            let block = requests.take(block_requests).await;
            let mut turns = Side::ALL;
            order.shuffle(&mut turns);
            let mut pair_of = [Block::default(); 3];
            for side in turns {
                pair_of[side as usize] = sides.ask(side, block.clone()).await?;
            }
            blocks.push(pair_of);
            agent_cpu.look().await?;
            progress(
                start * options.pairs + pair + 1,
                options.starts * options.pairs,
            );
        }
        found.push(sum_up(
            &blocks,
            block_requests,
            sides.counted()?,
            machine.service_cpus(),
        ));
        let asked = sides.stop().await?;
        agent_cpu.look().await?;
        agent_cpu.expect_requests(start, asked)?;
    }
    collector.stop().await?;
    let (agent_cpu_ns, process_cpu_ns) = agent_cpu.sums();
    Ok(Overhead {
        workload: options.workload,
        starts: options.starts,
        pairs: options.pairs,
        requests_per_block: block_requests,
        idle_layer: options.idle_layer,
        busy: mean(found.iter().map(|found| found.busy)),
        rows: vec![
            row(
                "requests per second",
                &found,
                |found| found.throughput,
                Some(THROUGHPUT_BAR),
            ),
            row("p99, µs", &found, |found| found.p99, Some(P99_BAR)),
            row("CPU per request, µs", &found, |found| found.cpu, None),
        ],
        agent_cpu_ns,
        process_cpu_ns,
    })
}

/// So many requests that a block takes as long as was asked for.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a block has some thousand requests"
)]
fn cut(requests: usize, seconds: f64, block: Duration) -> usize {
    ((requests as f64 * block.as_secs_f64() / seconds) as usize).clamp(100, 1_000_000)
}

/// The requests of the workload, one block after the other.
struct Requests {
    mix: Mix,
    workload: Workload,
    users: u32,
    rng: Rng,
}

impl Requests {
    fn new(options: &OverheadOptions) -> Self {
        Self {
            mix: Mix::new(options.users),
            workload: options.workload,
            users: options.users,
            rng: Rng::with_seed(options.seed),
        }
    }

    async fn take(&mut self, requests: usize) -> Vec<Ask> {
        let mut block = Vec::with_capacity(requests);
        for _ in 0..requests {
            let endpoint = match self.workload {
                Workload::Mix => Mix::endpoint(&mut self.rng),
                Workload::Only(endpoint) => endpoint,
            };
            let user = self.rng.u32(1..=self.users);
            let request = self.mix.request(endpoint, user, "", &mut self.rng);
            block.push(Ask::of(request).await);
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_cut_to_length() {
        assert_eq!(cut(300, 0.1, Duration::from_millis(250)), 750);
        assert_eq!(cut(300, 100.0, Duration::from_millis(250)), 100);
    }
}
