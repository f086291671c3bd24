//! What is done with stores while no collector runs on them.

use std::io::Write;

use anyhow::{Context, bail};
use appweight_collector::{Migrated, StoreAt, copy_store};

use crate::serve::runtime;
use crate::store_address::StoreAddress;

#[derive(Debug, clap::Args)]
pub(crate) struct Migrate {
    /// The store: sqlite:FILE or clickhouse://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(
        long,
        env = "APPWEIGHT_STORE",
        hide_env_values = true,
        default_value = "sqlite:appweight.db",
        value_name = "ADDRESS"
    )]
    store: StoreAddress,
    /// The cluster on which ClickHouse's tables are made. Experimental: it was never run on one
    #[cfg(feature = "clickhouse")]
    #[arg(long, env = "APPWEIGHT_CLICKHOUSE_CLUSTER", value_name = "NAME")]
    clickhouse_cluster: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Copy {
    /// The store to read: sqlite:FILE or clickhouse://USER:PASSWORD@HOST:PORT/DATABASE
    from: StoreAddress,
    /// The store to write; made if it is not there
    to: StoreAddress,
    /// The cluster on which ClickHouse's tables are made. Experimental: it was never run on one
    #[cfg(feature = "clickhouse")]
    #[arg(long, env = "APPWEIGHT_CLICKHOUSE_CLUSTER", value_name = "NAME")]
    clickhouse_cluster: Option<String>,
}

/// Brings a store to the current schema, and prints from which version to which.
pub(crate) fn migrate(options: &Migrate, out: &mut dyn Write) -> anyhow::Result<()> {
    #[cfg(feature = "clickhouse")]
    let at = options.store.at(options.clickhouse_cluster.as_deref());
    #[cfg(not(feature = "clickhouse"))]
    let at = options.store.at();
    let store = &options.store;
    let migrated = runtime()?.block_on(appweight_collector::migrate(&at));
    let Migrated { found, now } =
        migrated.with_context(|| format!("cannot use the store {store}"))?;
    match found {
        0 => writeln!(out, "{store} is new, with schema {now}")?,
        _ if found == now => writeln!(out, "{store} has schema {now} already")?,
        _ => writeln!(out, "{store} had schema {found} and has {now} now")?,
    }
    Ok(())
}

/// Copies a history, and prints how much that was.
pub(crate) fn copy(options: &Copy, out: &mut dyn Write) -> anyhow::Result<()> {
    let (from, to) = (&options.from, &options.to);
    if from.file().is_some() && to.file().is_some() {
        bail!("to copy a file to a file, use `appweight collector backup`");
    }
    if let Some(file) = from.file()
        && !file.is_file()
    {
        bail!("there is no store {}", file.display());
    }
    #[cfg(feature = "clickhouse")]
    let at = |address: &StoreAddress| address.at(options.clickhouse_cluster.as_deref());
    #[cfg(not(feature = "clickhouse"))]
    let at = StoreAddress::at;
    let (source, target): (StoreAt, StoreAt) = (at(from), at(to));
    let mut tenths = 0;
    let copied = runtime()?.block_on(copy_store(&source, &target, |done| {
        let now = done.rows * 10 / done.of_rows.max(1);
        if now > tenths {
            tenths = now;
            tracing::info!(rows = done.rows, "{tenths}0 % copied");
        }
    }));
    let copied =
        copied.with_context(|| format!("{from} is not copied to {to}, or not to its end"))?;
    writeln!(
        out,
        "{from} is copied to {to}: {} rows in {} parts",
        copied.rows, copied.parts
    )?;
    Ok(())
}
