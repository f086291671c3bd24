use std::fs;
use std::path::Path;

use tokio::process::Command;

use super::instance::{Instance, Machine};
use super::load::{Ask, Block, Load};
use super::{OverheadError, OverheadOptions};

/// Which process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Without the agent.
    Without,
    /// The same once more, or in a layer that does nothing.
    WithoutAgain,
    /// With the agent.
    With,
}

impl Side {
    pub(super) const ALL: [Self; 3] = [Self::Without, Self::WithoutAgain, Self::With];
}

/// The name of the instance that has the agent.
pub(super) fn host(start: usize) -> String {
    format!("start-{start:03}")
}

/// The processes that are set against each other, each with a database of its own.
#[derive(Debug)]
pub(super) struct Sides {
    /// In the order of [`Side::ALL`].
    instances: Vec<(Instance, Load)>,
    cpu_before: [f64; 3],
    /// Requests that the side with the agent was asked.
    asked: u64,
}

impl Sides {
    pub(super) async fn start(
        options: &OverheadOptions,
        machine: &Machine,
        database: &Path,
        collector: &str,
        start: usize,
    ) -> Result<Self, OverheadError> {
        let mut instances = Vec::new();
        let mut order = Side::ALL;
        fastrand::shuffle(&mut order);
        for side in order {
            let own = database.with_file_name(format!("{side:?}.db"));
            for beside in ["-wal", "-shm"] {
                // There is none at the first start.
                let _ = fs::remove_file(format!("{}{beside}", own.display()));
            }
            fs::copy(database, &own)?;
            let mut command = Command::new(&options.photo_backend);
            command
                .args(["serve", "--listen", "127.0.0.1:0", "--database"])
                .arg(&own);
            if side == Side::WithoutAgain && options.idle_layer {
                command.arg("--idle-layer");
            }
            if side == Side::With {
                let one_in = options.record_one_in.to_string();
                command.args(["--host", &host(start), "--record-one-in", &one_in]);
                command.args(["--collector", collector]);
            }
            let log = database.with_file_name(format!("{side:?}-{start}.log"));
            let instance = machine.service(command, &log).await?;
            let load = Load::connect(instance.address(), options.connections).await?;
            instances.push((side, instance, load));
        }
        instances.sort_by_key(|(side, ..)| *side as usize);
        let instances = instances
            .into_iter()
            .map(|(_, instance, load)| (instance, load));
        Ok(Self {
            instances: instances.collect(),
            cpu_before: [0.0; 3],
            asked: 0,
        })
    }

    pub(super) async fn ask(
        &mut self,
        side: Side,
        requests: Vec<Ask>,
    ) -> Result<Block, OverheadError> {
        if side == Side::With {
            self.asked += requests.len() as u64;
        }
        self.instances[side as usize].1.ask(requests).await
    }

    /// What was used until now is not counted.
    pub(super) fn begin_to_count(&mut self) -> Result<(), OverheadError> {
        self.cpu_before = self.cpu_seconds()?;
        Ok(())
    }

    /// CPU time used since then, in seconds.
    pub(super) fn counted(&self) -> Result<[f64; 3], OverheadError> {
        let now = self.cpu_seconds()?;
        Ok([0, 1, 2].map(|side| now[side] - self.cpu_before[side]))
    }

    fn cpu_seconds(&self) -> Result<[f64; 3], OverheadError> {
        let mut seconds = [0.0; 3];
        for (seconds, (instance, _)) in seconds.iter_mut().zip(&self.instances) {
            *seconds = instance.cpu_seconds()?;
        }
        Ok(seconds)
    }

    /// Ends all, and says how many requests the one with the agent was asked.
    pub(super) async fn stop(self) -> Result<u64, OverheadError> {
        for (instance, load) in self.instances {
            drop(load);
            instance.stop().await?;
        }
        Ok(self.asked)
    }
}
