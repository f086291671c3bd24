use appweight::api::DeployReport;
use appweight_wire::Deploy;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::code;
use crate::store::reports::{self, OfReport};
use crate::store::rollouts::{Rollout, Rollouts};
use crate::store::{DeployEntry, DeployQuery, PostedDeploy, StoreError};

const COLUMNS: &str =
    "d.service, d.id, d.started_us, d.ended_us, d.replaced, d.author, d.title, d.link";

/// A record of a process that runs `id` came in.
pub(super) fn see(
    transaction: &Transaction<'_>,
    service: &str,
    id: &str,
    first_us: u64,
) -> Result<(), StoreError> {
    // Nearly always nothing is new, and one look at an index tells.
    let settled: bool = transaction
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM deploys WHERE service = ?1 AND id = ?2
                AND (NOT discovered OR started_us <= ?3))",
        )?
        .query_row(params![service, id, code::time(first_us)], |row| row.get(0))?;
    if settled {
        return Ok(());
    }
    let mut rollouts = load(transaction, service)?;
    rollouts.see(service, id, first_us);
    save(transaction, &rollouts)
}

/// The CI started, ended or described a roll-out.
pub(super) fn post(
    connection: &mut Connection,
    deploy: Deploy,
    now_us: u64,
) -> Result<PostedDeploy, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut rollouts = load(&transaction, &deploy.service)?;
    let posted = rollouts.post(deploy, now_us);
    save(&transaction, &rollouts)?;
    transaction.commit()?;
    Ok(posted)
}

/// Keeps a final report, and with it the end of its roll-out where the judge had to infer it.
pub(super) fn put_report(
    connection: &mut Connection,
    report: &DeployReport,
) -> Result<bool, StoreError> {
    let json = reports::written(report)?;
    let deploy = &report.summary.deploy;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let row: Option<i64> = transaction
        .prepare_cached(
            "SELECT deploy_row FROM deploys WHERE service = ?1 AND id = ?2 AND started_us = ?3",
        )?
        .query_row(
            params![deploy.service, deploy.id, code::time(deploy.started_us)],
            |row| row.get(0),
        )
        .optional()?;
    // Without one a late record moved its start meanwhile; the next look judges it anew.
    let Some(row) = row else {
        return Ok(false);
    };
    transaction
        .prepare_cached(
            "UPDATE deploys SET ended_us = coalesce(ended_us, ?2) WHERE deploy_row = ?1",
        )?
        .execute(params![row, deploy.ended_us.map(code::time)])?;
    let kept = add_report(&transaction, row, report, &json)?;
    transaction.commit()?;
    Ok(kept)
}

/// `false` if there is one already.
fn add_report(
    transaction: &Transaction<'_>,
    row: i64,
    report: &DeployReport,
    json: &str,
) -> Result<bool, StoreError> {
    let judged_us = code::time(report.summary.judged_us.unwrap_or(0));
    let added = transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO reports (deploy_row, judged_us, report) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![row, judged_us, json])?;
    Ok(added > 0)
}

pub(super) fn list<R: OfReport>(
    connection: &Connection,
    query: &DeployQuery,
) -> Result<Vec<DeployEntry<R>>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, r.report FROM deploys d LEFT JOIN reports r USING (deploy_row)
        WHERE d.service = ?1 AND d.started_us >= ?2 AND d.started_us < ?3 AND (?4 IS NULL OR d.id = ?4)
            AND (?5 IS NULL OR (d.started_us, d.id) < (?5, ?6))
        ORDER BY d.started_us DESC, d.id DESC LIMIT ?7"
    );
    let (after_us, after_id) = query.after.clone().unzip();
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![
        query.service,
        code::time(query.started.from_us),
        code::time(query.started.until_us),
        query.id,
        after_us.map(code::time),
        after_id,
        query.limit
    ])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let deploy = deploy_of(row)?;
        let json = row.get_ref(8)?.as_str_or_null();
        let json = json.map_err(rusqlite::Error::from)?;
        let report = json.map(|json| R::read(json.as_bytes(), &deploy));
        let report = report.transpose()?;
        entries.push(DeployEntry { deploy, report });
    }
    Ok(entries)
}

pub(super) fn unjudged(connection: &Connection) -> Result<Vec<Deploy>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM deploys d LEFT JOIN reports r USING (deploy_row)
        WHERE r.deploy_row IS NULL ORDER BY d.started_us, d.deploy_row"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let deploys = statement.query_map([], deploy_of)?;
    Ok(deploys.collect::<Result<_, _>>()?)
}

pub(super) fn next_start(
    connection: &Connection,
    service: &str,
    started_us: u64,
) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT min(started_us) FROM deploys WHERE service = ?1 AND started_us > ?2";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(
        statement.query_row(params![service, code::time(started_us)], |row| {
            code::maybe_time_of(row, 0)
        })?,
    )
}

/// Forgets roll-outs with their reports: those that were replaced before, and the last ones of services of which
/// nothing has come since. Returns how many.
pub(super) fn forget(
    transaction: &Transaction<'_>,
    horizon_us: u64,
    at_once: usize,
) -> Result<u64, StoreError> {
    let sql = "DELETE FROM deploys WHERE deploy_row IN (
        SELECT d.deploy_row FROM deploys d WHERE d.started_us < ?1 AND (
            EXISTS (SELECT 1 FROM deploys n
                WHERE n.service = d.service AND n.started_us > d.started_us AND n.started_us < ?1)
            OR NOT EXISTS (SELECT 1 FROM services s WHERE s.service = d.service AND s.last_us >= ?1))
        LIMIT ?2)";
    let mut statement = transaction.prepare_cached(sql)?;
    let rows = statement.execute(params![code::time(horizon_us), at_once as i64])?;
    if rows > 0 {
        let orphans = "DELETE FROM alerts WHERE NOT EXISTS (SELECT 1 FROM deploys d
            WHERE d.service = alerts.service AND d.id = alerts.deploy AND d.started_us = alerts.started_us)";
        transaction.prepare_cached(orphans)?.execute([])?;
    }
    Ok(rows as u64)
}

/// Forgets services without a roll-out, of which nothing has come since. Returns how many.
pub(super) fn forget_services(
    transaction: &Transaction<'_>,
    horizon_us: u64,
) -> Result<u64, StoreError> {
    let sql =
        "DELETE FROM services WHERE last_us < ?1 AND service NOT IN (SELECT service FROM deploys)";
    let mut statement = transaction.prepare_cached(sql)?;
    let rows = statement.execute([code::time(horizon_us)])?;
    Ok(rows as u64)
}

fn load(transaction: &Transaction<'_>, service: &str) -> Result<Rollouts, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, d.deploy_row, d.posted_us, d.discovered, d.replaced_given, r.deploy_row IS NOT NULL
        FROM deploys d LEFT JOIN reports r USING (deploy_row)
        WHERE d.service = ?1 ORDER BY d.started_us, d.deploy_row"
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    let rollouts = statement.query_map([service], rollout_of)?;
    Ok(Rollouts::new(rollouts.collect::<Result<_, _>>()?))
}

/// All of every service in the order in which they became known, each with its final report.
pub(super) fn every_rollout(
    connection: &Connection,
) -> Result<Vec<(Rollout, Option<String>)>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, d.deploy_row, d.posted_us, d.discovered, d.replaced_given, r.deploy_row IS NOT NULL, r.report
        FROM deploys d LEFT JOIN reports r USING (deploy_row) ORDER BY d.deploy_row"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rollouts = statement.query_map([], |row| Ok((rollout_of(row)?, row.get(13)?)))?;
    Ok(rollouts.collect::<Result<_, _>>()?)
}

/// Adds what another store knew.
pub(super) fn add_rollouts(
    transaction: &Transaction<'_>,
    known: &[(Rollout, Option<String>)],
) -> Result<(), StoreError> {
    for (rollout, report) in known {
        let rollout = Rollout {
            row: None,
            ..rollout.clone()
        };
        save_one(transaction, &rollout)?;
        if let Some(report) = report {
            let read: DeployReport =
                serde_json::from_str(report).map_err(|error| reports::unreadable(&error))?;
            let row = transaction.last_insert_rowid();
            add_report(transaction, row, &read, report)?;
        }
    }
    Ok(())
}

fn save(transaction: &Transaction<'_>, rollouts: &Rollouts) -> Result<(), StoreError> {
    for rollout in rollouts.changed() {
        save_one(transaction, rollout)?;
    }
    Ok(())
}

fn save_one(transaction: &Transaction<'_>, rollout: &Rollout) -> Result<(), StoreError> {
    let sql = "INSERT INTO deploys (deploy_row, service, id, started_us, posted_us, ended_us, replaced, author, title,
            link, discovered, replaced_given)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
        ON CONFLICT (deploy_row) DO UPDATE SET started_us = excluded.started_us, posted_us = excluded.posted_us,
            ended_us = excluded.ended_us, replaced = excluded.replaced, author = excluded.author,
            title = excluded.title, link = excluded.link, discovered = excluded.discovered,
            replaced_given = excluded.replaced_given";
    let mut statement = transaction.prepare_cached(sql)?;
    let deploy = &rollout.deploy;
    statement.execute(params![
        rollout.row,
        deploy.service,
        deploy.id,
        code::time(deploy.started_us),
        rollout.posted_us.map(code::time),
        deploy.ended_us.map(code::time),
        deploy.replaced,
        deploy.author,
        deploy.title,
        deploy.link,
        rollout.discovered,
        rollout.replaced_given,
    ])?;
    Ok(())
}

fn rollout_of(row: &Row<'_>) -> rusqlite::Result<Rollout> {
    Ok(Rollout {
        deploy: deploy_of(row)?,
        row: row.get(8)?,
        posted_us: code::maybe_time_of(row, 9)?,
        discovered: row.get(10)?,
        replaced_given: row.get(11)?,
        judged: row.get(12)?,
        changed: false,
    })
}

fn deploy_of(row: &Row<'_>) -> rusqlite::Result<Deploy> {
    Ok(Deploy {
        service: row.get(0)?,
        id: row.get(1)?,
        started_us: code::time_of(row, 2)?,
        ended_us: code::maybe_time_of(row, 3)?,
        replaced: row.get(4)?,
        author: row.get(5)?,
        title: row.get(6)?,
        link: row.get(7)?,
    })
}
