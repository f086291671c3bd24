use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

/// How long a program may take until it serves.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long it may take to end after it was asked to.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A program that serves HTTP; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    name: String,
    /// Where it listens.
    pub(crate) url: String,
}

impl Server {
    /// Starts it and waits for the line that says where it listens. What it logs goes to `log`.
    pub(crate) async fn start(
        name: &str,
        program: &Path,
        args: &[String],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let log_file =
            File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        // `appweight` says it in its log, which is standard error; the photo service on standard output.
        let mut child = Command::new(program)
            .args(args)
            .env("NO_COLOR", "1")
            // One key for all instances, so that their users unite; it hides made-up people only.
            .env("APPWEIGHT_USER_KEY", "demo")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let (address, mut found) = tokio::sync::mpsc::channel(4);
        let stdout = child.stdout.take().context("no standard output")?;
        let stderr = child.stderr.take().context("no standard error")?;
        copy(
            stdout,
            log_file.try_clone().context("cannot write the log")?,
            address.clone(),
        );
        copy(stderr, log_file, address);
        match tokio::time::timeout(START_LIMIT, found.recv()).await {
            Ok(Some(url)) => Ok(Self {
                child,
                name: name.to_owned(),
                url,
            }),
            _ => {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                bail!("{name} did not start; it said:\n{log}")
            }
        }
    }

    /// Asks it to end and waits until it has.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.child.id().context("it has ended already")?;
        let id = i32::try_from(id).context("a process id out of range")?;
        signal(id);
        let status = tokio::time::timeout(STOP_LIMIT, self.child.wait())
            .await
            .with_context(|| format!("{} did not stop", self.name))?
            .with_context(|| format!("cannot wait for {}", self.name))?;
        if !status.success() {
            bail!("{} ended with {status}", self.name);
        }
        Ok(())
    }
}

#[expect(
    unsafe_code,
    reason = "no safe way to send a signal is in the standard library"
)]
fn signal(process: i32) {
    // SAFETY: `kill` takes plain integers; the process is a child that has not been waited for, so
    // the id still belongs to it.
    unsafe {
        libc::kill(process, libc::SIGTERM);
    }
}

fn copy(
    from: impl AsyncRead + Unpin + Send + 'static,
    mut to: File,
    address: tokio::sync::mpsc::Sender<String>,
) {
    use std::io::Write;
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            // The log is for people: a full disk is no reason to end the day.
            let _ = writeln!(to, "{line}");
            if let Some((_, url)) = line.split_once("listening on ") {
                let _ = address.try_send(url.trim().to_owned());
            }
        }
    });
}
