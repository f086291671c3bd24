use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(not(feature = "parquet"))]
use anyhow::bail;

use crate::store_address::SqliteFile;
use crate::units;

/// What to export, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) store: SqliteFile,
    /// A folder for the files; made if it is not there
    #[arg(long, env = "APPWEIGHT_EXPORT_INTO", value_name = "FOLDER")]
    pub(crate) into: PathBuf,
    /// Only what began in the last so much time
    #[arg(long, env = "APPWEIGHT_EXPORT_LAST", value_parser = units::duration, value_name = "DURATION")]
    pub(crate) last: Option<Duration>,
}

/// Writes the files and tells how many rows each has.
#[cfg(feature = "parquet")]
pub(crate) fn run(options: &Export, out: &mut dyn Write) -> anyhow::Result<()> {
    use anyhow::{Context, bail};
    use appweight_collector::{Collector, CollectorOptions};

    let named = || format!("cannot use the store {}", options.store.database.display());
    if !options.store.database.is_file() {
        bail!("{}: there is no such file", named());
    }
    let since = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .ok()
        .zip(options.last)
        .map(|(now, last)| now.saturating_sub(last));
    let from_us = since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    });
    let exported = crate::serve::runtime()?.block_on(async {
        let collector = Collector::open(CollectorOptions {
            database: options.store.database.clone(),
            watch: false,
            ..CollectorOptions::default()
        });
        let collector = collector.await.with_context(named)?;
        let exported = collector.export(&options.into, from_us, u64::MAX).await;
        exported.context("the export is not whole")
    })?;
    for (name, rows) in [
        ("deploys", exported.deploys),
        ("cells", exported.cells),
        ("requests", exported.requests),
        ("processes", exported.processes),
        ("days", exported.days),
        ("endpoint_days", exported.endpoint_days),
    ] {
        let path = options.into.join(name).with_extension("parquet");
        writeln!(out, "{}: {rows} rows", path.display())?;
    }
    Ok(())
}

/// Says that it cannot.
#[cfg(not(feature = "parquet"))]
pub(crate) fn run(_: &Export, _: &mut dyn Write) -> anyhow::Result<()> {
    bail!(
        "this program was built without Parquet: build it with `--features parquet` of appweight-cli"
    )
}
