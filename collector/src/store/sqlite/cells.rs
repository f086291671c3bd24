//! Cells: added up in memory for a whole commit, then each to what is stored under its key.

use std::collections::BTreeMap;

use appweight_wire::{Batch, Cell, CellKey, host_group};
use rusqlite::{OptionalExtension, Transaction, named_params};

use super::code;
use crate::store::StoreError;

/// The sums of the cells of many batches.
#[derive(Default)]
pub(super) struct CellSums<'a>(BTreeMap<(Place<'a>, CellKey), Cell>);

/// Where a cell belongs, beside its own key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    service: &'a str,
    deploy: &'a str,
    cluster: &'a str,
    host_group: u8,
}

impl<'a> CellSums<'a> {
    pub(super) fn add(&mut self, batch: &'a Batch) {
        let origin = &batch.origin;
        let place = Place {
            service: &origin.service,
            deploy: &origin.deploy,
            cluster: &origin.cluster,
            host_group: host_group(&origin.host),
        };
        for cell in &batch.cells {
            self.0
                .entry((place, cell.key.clone()))
                .or_insert_with(|| Cell::new(cell.key.clone()))
                .add(cell);
        }
    }

    /// Adds each to what is stored under its key.
    pub(super) fn add_to(self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        for ((place, _), cell) in &self.0 {
            add_cell(transaction, place, cell)?;
        }
        Ok(())
    }
}

fn add_cell(
    transaction: &Transaction<'_>,
    place: &Place<'_>,
    cell: &Cell,
) -> Result<(), StoreError> {
    const FIND: &str = "SELECT n, weight, errors, scaled, metrics FROM cells
        WHERE service = :service AND start_us = :start_us AND width_us = :width_us AND deploy = :deploy
        AND kind = :kind AND endpoint = :endpoint AND cluster = :cluster AND host_group = :host_group
        AND instruction_source = :source AND age = :age AND flag_name = :flag_name AND flag_value = :flag_value";
    const WRITE: &str = "INSERT INTO cells (service, start_us, width_us, deploy, kind, endpoint, cluster, host_group,
            instruction_source, age, flag_name, flag_value, n, weight, errors, scaled, metrics)
        VALUES (:service, :start_us, :width_us, :deploy, :kind, :endpoint, :cluster, :host_group,
            :source, :age, :flag_name, :flag_value, :n, :weight, :errors, :scaled, :metrics)
        ON CONFLICT DO UPDATE SET n = excluded.n, weight = excluded.weight, errors = excluded.errors,
            scaled = excluded.scaled, metrics = excluded.metrics";
    let key = &cell.key;
    let (flag_name, flag_value) = key
        .flag
        .as_ref()
        .map_or(("", ""), |flag| (flag.name.as_str(), flag.value.as_str()));
    let of = named_params! {
        ":service": place.service,
        ":start_us": code::time(key.start_us),
        ":width_us": code::time(key.width_us),
        ":deploy": place.deploy,
        ":kind": code::kind(key.kind),
        ":endpoint": key.endpoint,
        ":cluster": place.cluster,
        ":host_group": place.host_group,
        ":source": code::source(key.instruction_source),
        ":age": code::age(key.age),
        ":flag_name": flag_name,
        ":flag_value": flag_value,
    };
    let found = transaction
        .prepare_cached(FIND)?
        .query_row(of, |row| {
            let mut stored = Cell::new(key.clone());
            stored.n = row.get::<_, i64>(0)?.cast_unsigned();
            stored.weight = row.get::<_, i64>(1)?.cast_unsigned();
            stored.errors = row.get::<_, i64>(2)?.cast_unsigned();
            stored.scaled = row.get::<_, i64>(3)?.cast_unsigned();
            Ok((stored, row.get::<_, Vec<u8>>(4)?))
        })
        .optional()?;
    let mut sum = match found {
        Some((mut stored, metrics)) => {
            code::Metrics::unpack_into(&mut stored, &metrics)?;
            stored
        }
        None => Cell::new(key.clone()),
    };
    sum.add(cell);
    let sums = named_params! {
        ":n": code::count(sum.n),
        ":weight": code::count(sum.weight),
        ":errors": code::count(sum.errors),
        ":scaled": code::count(sum.scaled),
        ":metrics": code::Metrics::pack(&sum),
    };
    transaction
        .prepare_cached(WRITE)?
        .execute([of, sums].concat().as_slice())?;
    Ok(())
}
