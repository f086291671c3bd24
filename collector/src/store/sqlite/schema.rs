use rusqlite::Connection;

use super::blocks;
use crate::store::StoreError;

/// Each brings the schema from the version before to its own, which is its place in this list.
pub(super) const MIGRATIONS: [&str; 10] = [
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_profiles.sql"),
    include_str!("migrations/0003_folded.sql"),
    include_str!("migrations/0004_limits.sql"),
    include_str!("migrations/0005_request_blocks.sql"),
    include_str!("migrations/0006_alerts.sql"),
    include_str!("migrations/0007_copies.sql"),
    include_str!("migrations/0008_days.sql"),
    include_str!("migrations/0009_cells_of_flags.sql"),
    include_str!("migrations/0010_clusters_of_processes.sql"),
];

/// The version since which request records are in blocks.
const BLOCKS: i64 = 5;

/// Brings a file to the newest schema. Each step is done whole or not at all. Returns the version that was found, 0 for none.
pub(super) fn migrate(connection: &mut Connection) -> Result<i64, StoreError> {
    let known = MIGRATIONS.len() as i64;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (before, migration) in (0_i64..).zip(MIGRATIONS) {
        if before >= found {
            let transaction = connection.transaction()?;
            transaction.execute_batch(migration)?;
            if before + 1 == BLOCKS {
                blocks::take_over(&transaction)?;
            }
            transaction.pragma_update(None, "user_version", before + 1)?;
            transaction.commit()?;
        }
    }
    Ok(found)
}

/// A file as a program of that version left it.
#[cfg(test)]
pub(super) fn up_to(connection: &mut Connection, version: usize) {
    for migration in &MIGRATIONS[..version] {
        connection.execute_batch(migration).unwrap();
    }
    connection
        .pragma_update(None, "user_version", version as i64)
        .unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_brought_up_once_and_a_newer_one_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        up_to(&mut connection, 1);
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        let tables = "SELECT count(*) FROM sqlite_schema WHERE name IN ('cells', 'profiles', 'folded', 'endpoints')";
        let found: i64 = connection.query_row(tables, [], |row| row.get(0)).unwrap();
        assert_eq!(found, 4);
        connection.pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(
            migrate(&mut connection),
            Err(StoreError::Newer {
                found: 99,
                known: 10
            })
        ));
    }
}
