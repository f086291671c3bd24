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

/// Refuses a file of another program: what is in it is not ours to change, and its number of a version says nothing of ours.
pub(super) fn refuse_others(connection: &Connection) -> Result<(), StoreError> {
    // In one statement: another collector may be making the tables.
    let sql = "SELECT (SELECT user_version FROM pragma_user_version), count(*),
            count(*) FILTER (WHERE name IN ('batches', 'cells', 'deploys')), coalesce(min(name), '')
        FROM sqlite_schema WHERE type = 'table'";
    let (version, tables, ours, table): (i64, i64, i64, String) =
        connection.query_row(sql, [], |row| row.try_into())?;
    let is_new = tables == 0 && version == 0;
    if is_new || (ours == 3 && version > 0) {
        return Ok(());
    }
    Err(StoreError::Foreign { table })
}

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
    use crate::store::SqliteStore;

    #[test]
    fn a_file_of_another_program_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        for version in [0, 3, 99] {
            let path = folder.path().join(format!("{version}.db"));
            let other = Connection::open(&path).unwrap();
            other.execute_batch("CREATE TABLE dashboards (id)").unwrap();
            other.pragma_update(None, "user_version", version).unwrap();
            drop(other);
            let before = std::fs::read(&path).unwrap();
            let refused = SqliteStore::open(&path)
                .err()
                .map(|error| error.to_string());
            assert!(refused.is_some_and(|said| said.contains("dashboards")));
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
    }

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
