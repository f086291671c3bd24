use std::io::Write;
use std::path::PathBuf;

use crate::store_address::SqliteFile;

/// What to copy, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    #[command(flatten)]
    pub(crate) store: SqliteFile,
    /// The copy; must not be there yet
    pub(crate) copy: PathBuf,
}

/// Copies a store that may be in use, and prints how much that was.
pub(crate) fn run(options: &Backup, out: &mut dyn Write) -> anyhow::Result<()> {
    let (store, copy) = (&options.store.database, &options.copy);
    let mut tenths = 0;
    let bytes = appweight_collector::backup(store, copy, |share| {
        let now = (share * 10.0) as u32;
        if now > tenths {
            tenths = now;
            tracing::info!("{}0 % copied", tenths);
        }
    })?;
    writeln!(
        out,
        "{} is copied to {}: {} MiB",
        store.display(),
        copy.display(),
        bytes.div_ceil(1 << 20)
    )?;
    Ok(())
}
