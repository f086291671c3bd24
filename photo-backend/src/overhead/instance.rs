use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::OverheadError;

/// How long a program may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// The CPUs, parted between the service and what asks it: else what one side takes from the other
/// would be the greatest effect of all.
#[derive(Debug)]
pub(super) struct Machine {
    all: CpuSet,
    service: Vec<usize>,
    rest: Vec<usize>,
}

impl Machine {
    /// Goes to the half that is not the service's.
    pub(super) fn look() -> Result<Self, OverheadError> {
        let allowed = sched_getaffinity(None).map_err(std::io::Error::from)?;
        let all: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|cpu| allowed.is_set(*cpu))
            .collect();
        let (service, rest) = all.split_at(all.len() / 2);
        if service.is_empty() {
            return Err(OverheadError::Failed("two CPUs are needed".into()));
        }
        let machine = Self {
            all: allowed,
            service: service.to_vec(),
            rest: rest.to_vec(),
        };
        go_to(&machine.rest)?;
        Ok(machine)
    }

    pub(super) fn service_cpus(&self) -> usize {
        self.service.len()
    }

    /// In memory, where there is such a place: a disk has moods of its own.
    pub(super) fn folder(&self) -> Result<TempDir, OverheadError> {
        Ok(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?)
    }

    pub(super) async fn collector(
        &self,
        program: &Path,
        folder: &Path,
    ) -> Result<Instance, OverheadError> {
        let mut command = Command::new(program);
        command
            .args(["collector", "--listen", "127.0.0.1:0", "--database"])
            .arg(folder.join("appweight.db"));
        Instance::start(command, &folder.join("collector.log")).await
    }

    /// On the service's CPUs.
    pub(super) async fn service(
        &self,
        command: Command,
        log: &Path,
    ) -> Result<Instance, OverheadError> {
        go_to(&self.service)?;
        // It inherits where it is started.
        let started = Instance::start(command, log).await;
        go_to(&self.rest)?;
        started
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What was allowed once is allowed now.
        let _ = sched_setaffinity(None, &self.all);
    }
}

fn go_to(cpus: &[usize]) -> Result<(), OverheadError> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu);
    }
    Ok(sched_setaffinity(None, &set).map_err(std::io::Error::from)?)
}

/// A program that serves HTTP; it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Instance {
    child: Child,
    /// As `http://127.0.0.1:40000`.
    pub(super) url: String,
}

impl Instance {
    async fn start(mut command: Command, log: &Path) -> Result<Self, OverheadError> {
        // Nobody's settings but these.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("APPWEIGHT_") || text.starts_with("PHOTO_") {
                command.env_remove(&name);
            }
        }
        // One says where it listens on standard output, the other in its log.
        let said = File::create(log)?;
        let child = command
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()?;
        match timeout(PATIENCE, listens(log)).await {
            Ok(url) => Ok(Self { child, url }),
            Err(_) => Err(OverheadError::Failed(format!(
                "{command:?} did not start; it said: {}",
                fs::read_to_string(log).unwrap_or_default()
            ))),
        }
    }

    pub(super) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// CPU time that all of its threads have used, seconds.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 ticks")]
    pub(super) fn cpu_seconds(&self) -> Result<f64, OverheadError> {
        let id = self.child.id().unwrap_or_default();
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        // proc(5): utime and stime are the 14th and 15th field; the second may hold anything, in
        // parentheses.
        let ticks: Option<u64> = stat.rsplit_once(')').and_then(|(_, rest)| {
            let mut fields = rest.split_whitespace().skip(11);
            Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
        });
        let ticks = ticks.ok_or_else(|| OverheadError::Failed(format!("stat: {stat}")))?;
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Asks it to end, and waits until it has.
    pub(super) async fn stop(mut self) -> Result<(), OverheadError> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(Pid::from_raw) {
            kill_process(id, Signal::TERM).map_err(std::io::Error::from)?;
        }
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(|status| status.success()) => Ok(()),
            other => Err(OverheadError::Failed(format!(
                "{} ended with {other:?}",
                self.url
            ))),
        }
    }
}

/// Waits until the log tells where the program listens.
async fn listens(log: &Path) -> String {
    loop {
        let said = fs::read_to_string(log).unwrap_or_default();
        let mut lines = said
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        if let Some(url) = lines.find_map(|line| Some(line.split_once("listening on ")?.1)) {
            return url.trim().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
