//! Cells: each is added to what is stored under its key.

use appweight_wire::{Cell, CellKey};
use rusqlite::{Statement, ToSql, Transaction};

use super::code;
use crate::store::StoreError;
use crate::store::cell_sums::{CellSums, Place};

/// Which cell: the columns of its key. For statements that bind [`KeyColumns::params`].
macro_rules! where_key {
    ($before:literal) => {
        concat!(
            $before,
            " WHERE service = ?1 AND start_us = ?2 AND width_us = ?3 AND deploy = ?4 AND kind = ?5 AND endpoint = ?6
            AND cluster = ?7 AND host_group = ?8 AND instruction_source = ?9 AND age = ?10 AND flag_name = ?11
            AND flag_value = ?12"
        )
    };
}

/// Adds each to what is stored under its key.
pub(super) fn add_all(
    transaction: &Transaction<'_>,
    sums: &CellSums<'_>,
) -> Result<(), StoreError> {
    const FIND: &str = where_key!("SELECT n, weight, errors, scaled, metrics FROM cells");
    const WRITE: &str = "INSERT INTO cells (service, start_us, width_us, deploy, kind, endpoint, cluster, host_group,
            instruction_source, age, flag_name, flag_value, n, weight, errors, scaled, metrics)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
        ON CONFLICT DO UPDATE SET n = excluded.n, weight = excluded.weight, errors = excluded.errors,
            scaled = excluded.scaled, metrics = excluded.metrics";
    let mut find = transaction.prepare_cached(FIND)?;
    let mut write = transaction.prepare_cached(WRITE)?;
    let mut metrics = Vec::new();
    for (place, cell) in sums.all() {
        let columns = KeyColumns::of(place, &cell.key);
        let of = columns.params();
        let stored = stored(&mut find, &of, &cell.key)?.map(|mut stored| {
            stored.add(cell);
            stored
        });
        let sum = stored.as_ref().unwrap_or(cell);
        metrics.clear();
        code::pack_metrics(sum, &mut metrics);
        let [n, weight, errors, scaled] =
            [sum.n, sum.weight, sum.errors, sum.scaled].map(code::count);
        let sums: [&dyn ToSql; 5] = [&n, &weight, &errors, &scaled, &metrics];
        write.execute([of.as_slice(), &sums].concat().as_slice())?;
    }
    Ok(())
}

/// What is stored under a key.
fn stored(
    find: &mut Statement<'_>,
    of: &[&dyn ToSql],
    key: &CellKey,
) -> Result<Option<Cell>, StoreError> {
    let mut rows = find.query(of)?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let mut stored = Cell::new(key.clone());
    stored.n = row.get::<_, i64>(0)?.cast_unsigned();
    stored.weight = row.get::<_, i64>(1)?.cast_unsigned();
    stored.errors = row.get::<_, i64>(2)?.cast_unsigned();
    stored.scaled = row.get::<_, i64>(3)?.cast_unsigned();
    let metrics = row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?;
    code::unpack_metrics(&mut stored, metrics)?;
    Ok(Some(stored))
}

/// Deletes the cell of that key.
pub(super) fn remove(
    transaction: &Transaction<'_>,
    place: &Place<'_>,
    key: &CellKey,
) -> Result<(), StoreError> {
    let columns = KeyColumns::of(place, key);
    transaction
        .prepare_cached(where_key!("DELETE FROM cells"))?
        .execute(columns.params().as_slice())?;
    Ok(())
}

/// A cell's key and place as they are written in columns.
struct KeyColumns<'a> {
    service: &'a str,
    start_us: i64,
    width_us: i64,
    deploy: &'a str,
    kind: i64,
    endpoint: &'a str,
    cluster: &'a str,
    host_group: u8,
    source: i64,
    age: i64,
    flag: (&'a str, &'a str),
}

impl<'a> KeyColumns<'a> {
    fn of(place: &'a Place<'_>, key: &'a CellKey) -> Self {
        Self {
            service: &place.service,
            start_us: code::time(key.start_us),
            width_us: code::time(key.width_us),
            deploy: &place.deploy,
            kind: code::kind(key.kind),
            endpoint: &key.endpoint,
            cluster: &place.cluster,
            host_group: place.host_group,
            source: code::source(key.instruction_source),
            age: code::age(key.age),
            flag: code::flag(key.flag.as_ref()),
        }
    }

    /// What [`where_key`] binds: by place, since names are looked up for each row.
    fn params(&self) -> [&dyn ToSql; 12] {
        [
            &self.service,
            &self.start_us,
            &self.width_us,
            &self.deploy,
            &self.kind,
            &self.endpoint,
            &self.cluster,
            &self.host_group,
            &self.source,
            &self.age,
            &self.flag.0,
            &self.flag.1,
        ]
    }
}
