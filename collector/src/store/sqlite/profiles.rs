//! Profiles: added up when they come, and handed out by replicate.

use appweight::api::{ProfileOf, ProfileSummary};
use appweight::profile::{Profile, of_record, to_record};
use appweight_wire::{Batch, ProfileRecord};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params, params};

use super::code;
use crate::store::profiles::{Part, Place, parts_of, unite};
use crate::store::{ProfileQuery, StoreError};

/// zstd's fastest: a tree is written anew with each batch, and names repeat so much that this is enough.
const LEVEL: i32 = 1;

pub(super) fn add_all(transaction: &Transaction<'_>, batch: &Batch) -> Result<(), StoreError> {
    for ((of, replicate), part) in parts_of(batch) {
        let origin = &batch.origin;
        add(
            transaction,
            (&origin.service, &origin.deploy),
            &of,
            replicate,
            part,
        )?;
    }
    Ok(())
}

/// Adds a part to what there is of a service's deploy.
pub(super) fn add(
    transaction: &Transaction<'_>,
    (service, deploy): (&str, &str),
    of: &ProfileOf,
    replicate: u8,
    part: Part,
) -> Result<(), StoreError> {
    const FIND: &str = "SELECT from_us, until_us, lost_samples, tree FROM profiles
        WHERE service = :service AND deploy = :deploy AND endpoint = :endpoint AND kind = :kind AND timer = :timer
        AND unit = :unit AND taken = :taken AND instruction_source = :source AND age = :age AND replicate = :replicate";
    const WRITE: &str = "INSERT INTO profiles (service, deploy, endpoint, kind, timer, unit, taken, instruction_source,
            age, replicate, from_us, until_us, requests, samples, lost_samples, tree)
        VALUES (:service, :deploy, :endpoint, :kind, :timer, :unit, :taken, :source,
            :age, :replicate, :from_us, :until_us, :requests, :samples, :lost_samples, :tree)
        ON CONFLICT DO UPDATE SET from_us = excluded.from_us, until_us = excluded.until_us,
            requests = excluded.requests, samples = excluded.samples, lost_samples = excluded.lost_samples,
            tree = excluded.tree";
    let alike = named_params! {
        ":service": service,
        ":deploy": deploy,
        ":endpoint": of.endpoint,
        ":kind": code::kind(of.kind),
        ":timer": of.timer,
        ":unit": of.unit,
        ":taken": code::taken(of.taken),
        ":source": code::source(of.instruction_source),
        ":age": code::age(of.age),
        ":replicate": replicate,
    };
    let found = transaction
        .prepare_cached(FIND)?
        .query_row(alike, |row| {
            Ok((
                code::time_of(row, 0)?,
                code::time_of(row, 1)?,
                row.get::<_, i64>(2)?.cast_unsigned(),
                row.get::<_, Vec<u8>>(3)?,
            ))
        })
        .optional()?;
    let sum = match found {
        None => part,
        Some((from_us, until_us, lost_samples, tree)) => {
            let mut sum = Part {
                from_us,
                until_us,
                lost_samples,
                tree: unpack(&tree, replicate)?,
            };
            sum.add(&part);
            sum
        }
    };
    let sums = named_params! {
        ":from_us": code::time(sum.from_us),
        ":until_us": code::time(sum.until_us),
        ":requests": code::count(sum.tree.requests()),
        ":samples": code::count(sum.tree.samples()),
        ":lost_samples": code::count(sum.lost_samples),
        ":tree": pack(&sum.tree)?,
    };
    transaction
        .prepare_cached(WRITE)?
        .execute([alike, sums].concat().as_slice())?;
    Ok(())
}

/// What there is of a deploy, by endpoint and timer.
pub(super) fn list(
    connection: &Connection,
    service: &str,
    deploy: &str,
) -> Result<Vec<ProfileSummary>, StoreError> {
    let sql = "SELECT endpoint, kind, timer, unit, taken, instruction_source, age,
            from_us, until_us, requests, samples, lost_samples
        FROM profiles WHERE service = ?1 AND deploy = ?2
        ORDER BY endpoint, kind, timer, unit, taken, instruction_source, age, replicate";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![service, deploy])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        unite(&mut all, summary_of(row)?);
    }
    Ok(all)
}

fn summary_of(row: &Row<'_>) -> Result<ProfileSummary, StoreError> {
    Ok(ProfileSummary {
        of: ProfileOf {
            endpoint: row.get(0)?,
            kind: code::kind_of(row.get(1)?)?,
            timer: row.get(2)?,
            unit: row.get(3)?,
            taken: code::taken_of(row.get(4)?)?,
            instruction_source: code::source_of(row.get(5)?)?,
            age: code::age_of(row.get(6)?)?,
        },
        from_us: code::time_of(row, 7)?,
        until_us: code::time_of(row, 8)?,
        requests: row.get::<_, i64>(9)?.cast_unsigned(),
        samples: row.get::<_, i64>(10)?.cast_unsigned(),
        lost_samples: row.get::<_, i64>(11)?.cast_unsigned(),
    })
}

/// All of a deploy.
pub(super) fn every_part(
    connection: &Connection,
    service: &str,
    deploy: &str,
) -> Result<Vec<(Place, Part)>, StoreError> {
    let sql = "SELECT endpoint, kind, timer, unit, taken, instruction_source, age,
            from_us, until_us, requests, samples, lost_samples, replicate, tree
        FROM profiles WHERE service = ?1 AND deploy = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![service, deploy])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let (about, replicate) = (summary_of(row)?, row.get(12)?);
        let tree = row.get_ref(13)?.as_blob().map_err(rusqlite::Error::from)?;
        let part = Part {
            from_us: about.from_us,
            until_us: about.until_us,
            lost_samples: about.lost_samples,
            tree: unpack(tree, replicate)?,
        };
        all.push(((about.of, replicate), part));
    }
    Ok(all)
}

/// All replicates of a profile.
pub(super) fn replicates(
    connection: &Connection,
    query: &ProfileQuery,
) -> Result<Vec<Profile>, StoreError> {
    let sql = "SELECT replicate, tree FROM profiles
        WHERE service = ?1 AND deploy = ?2 AND endpoint = ?3 AND kind = ?4 AND timer = ?5 AND unit = ?6
        AND taken = ?7 AND instruction_source = ?8 AND age = ?9 ORDER BY replicate";
    let of = &query.of;
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![
        query.service,
        query.deploy,
        of.endpoint,
        code::kind(of.kind),
        of.timer,
        of.unit,
        code::taken(of.taken),
        code::source(of.instruction_source),
        code::age(of.age),
    ])?;
    let mut replicates = Vec::new();
    while let Some(row) = rows.next()? {
        let tree = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        replicates.push(unpack(tree, row.get(0)?)?);
    }
    Ok(replicates)
}

/// The tree as a record of one timer, whose fields have names so that more can be added.
fn pack(tree: &Profile) -> Result<Vec<u8>, StoreError> {
    let record = code::pack(&to_record(tree));
    zstd::encode_all(record.as_slice(), LEVEL).map_err(|error| unreadable(&error.to_string()))
}

fn unpack(bytes: &[u8], replicate: u8) -> Result<Profile, StoreError> {
    let bytes = zstd::decode_all(bytes).map_err(|error| unreadable(&error.to_string()))?;
    let record: ProfileRecord = code::unpack("profile", &bytes)?;
    match record.timers.first() {
        Some(timer) => Ok(of_record(&record, timer, usize::from(replicate))),
        None => Err(unreadable("it has no timer")),
    }
}

fn unreadable(reason: &str) -> StoreError {
    StoreError::Corrupt {
        what: "profile",
        reason: reason.to_owned(),
    }
}
