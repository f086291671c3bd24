use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

const MMAP_BYTES: i64 = 256 * 1024 * 1024;
const STATEMENTS: usize = 64;

/// A connection for one thread.
///
/// Automatic checkpoints are off: whichever request came last would pay for all the others. The
/// checkpoint task does it.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    configure(&connection)?;
    Ok(connection)
}

/// The settings of every connection to the database.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "mmap_size", MMAP_BYTES)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}
