//! ClickHouse for tests: its engine as a library from npm, behind the HTTP front of `tests/clickhouse`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};

use crate::run_program;

/// The engine's version in npm.
const VERSION: &str = "26.5.3";

/// Its package, for Linux on x86-64 with glibc. There is none for other machines.
const PACKAGE: &str = "@chdb/lib-linux-x64-gnu";

/// The SHA-512 of the package's archive.
const SHA512: &str = "7cfacb991b79328a2bf721b3e266b36eb3637b8b7b5fd281da64c6917156471441b3688acbcca1ea3c75d71b1ad10af788314c53fc87a9df9b55d6095eedd069";

/// A ClickHouse for the time of the tests. Its folder goes with it.
pub(crate) struct Clickhouse {
    front: Child,
    folder: PathBuf,
    /// What the tests are told.
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Clickhouse {
    /// Takes the server that `CLICKHOUSE_URL` names, or starts one of its own.
    pub(crate) fn start(target: &Path) -> anyhow::Result<Option<Self>> {
        if std::env::var_os("CLICKHOUSE_URL").is_some() {
            return Ok(None);
        }
        let library = library(target)?;
        let front = target.join("debug/clickhouse-front");
        let folder = target.join(format!("clickhouse/data-{}", std::process::id()));
        let mut child = Command::new(&front)
            .arg("--library")
            .arg(&library)
            .arg("--data")
            .arg(&folder)
            .arg("--with-parent")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", front.display()))?;
        let said = child.stdout.take().context("it is piped")?;
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        let Some((_, url)) = line.trim().split_once("listening on ") else {
            let _ = child.kill();
            let _ = child.wait();
            bail!("{} does not start", front.display());
        };
        let variables = vec![
            ("CLICKHOUSE_URL", url.to_owned()),
            ("APPWEIGHT_TEST_CHDB", library.display().to_string()),
            (
                "APPWEIGHT_TEST_CLICKHOUSE_FRONT",
                front.display().to_string(),
            ),
        ];
        Ok(Some(Self {
            front: child,
            folder,
            variables,
        }))
    }
}

impl Drop for Clickhouse {
    fn drop(&mut self) {
        // It may have ended already, and what is left of its folder harms nobody.
        let _ = self.front.kill();
        let _ = self.front.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The engine, downloaded once for each target folder.
fn library(target: &Path) -> anyhow::Result<PathBuf> {
    let folder = target.join("clickhouse");
    let library = folder.join(format!("libchdb-{VERSION}.so"));
    if library.is_file() {
        return Ok(library);
    }
    if (std::env::consts::OS, std::env::consts::ARCH) != ("linux", "x86_64") {
        bail!(
            "ClickHouse's engine is to be had for Linux on x86-64 alone: name a server, as \
             CLICKHOUSE_URL=http://USER:PASSWORD@HOST:8123"
        );
    }
    std::fs::create_dir_all(&folder)?;
    let pack = Command::new("npm")
        .args(["pack", "--silent", "--pack-destination"])
        .arg(&folder)
        .arg(format!("{PACKAGE}@{VERSION}"))
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run npm, which fetches ClickHouse's engine for the tests: install it, or set CLICKHOUSE_URL")?;
    if !pack.status.success() {
        bail!("npm could not fetch {PACKAGE} {VERSION}");
    }
    let said = String::from_utf8_lossy(&pack.stdout);
    let archive = folder.join(said.lines().last().unwrap_or_default().trim());
    let sum = Command::new("sha512sum").arg(&archive).output()?;
    if !String::from_utf8_lossy(&sum.stdout).starts_with(SHA512) {
        bail!(
            "{} is not what was published as {PACKAGE} {VERSION}",
            archive.display()
        );
    }
    run_program(
        Command::new("tar")
            .args(["--extract", "--gzip", "--strip-components=1", "--file"])
            .arg(&archive)
            .arg("--directory")
            .arg(&folder)
            .arg("package/libchdb.so"),
    )?;
    std::fs::remove_file(&archive)?;
    std::fs::rename(folder.join("libchdb.so"), &library)?;
    Ok(library)
}
