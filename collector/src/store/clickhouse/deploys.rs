//! Roll-outs. What becomes of them depends on all others of their service, so that they are read, changed and
//! written as a whole, by one writer at a time: each change of a service's roll-outs has a version, the token of
//! its rows, and of several that write the same version only one gets in.

use std::collections::{BTreeMap, HashMap};

use appweight::api::DeployReport;
use appweight_wire::Deploy;
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::alerts;
use super::connection::insert;
use super::ddl::Ddl;
use super::kept::{Keepable, Kept, RowKey};
use super::missing::insert_first;
use crate::store::reports;
use crate::store::rollouts::{Rollout, Rollouts};
use crate::store::{DeployEntry, DeployQuery, PostedDeploy, StoreError};

/// How often others may come in between before it is given up.
const TRIES: usize = 20;

/// The row that is no roll-out, but tells the version by which some of a service were forgotten: versions never come
/// again, or what is written with one would be taken for what was written with it before.
const FORGOTTEN_ROW: i64 = 0;

/// The newest row of each roll-out, without its report: reports are long.
pub(super) fn newest(which: &str) -> String {
    newest_of("* EXCEPT (report)", which)
}

fn newest_of(columns: &str, which: &str) -> String {
    format!(
        "(SELECT {columns} FROM deploys WHERE deploy_row <> {FORGOTTEN_ROW} {which}
        ORDER BY version DESC LIMIT 1 BY service, deploy_row)"
    )
}

/// What is known of a service.
pub(super) struct Known {
    /// The newest row of each roll-out.
    rows: Vec<DeployRow>,
    /// The version of the next change.
    next_version: u64,
}

impl Known {
    /// What it occupies, about.
    pub(super) fn bytes(&self) -> usize {
        let texts = |row: &DeployRow| {
            let optional = [&row.replaced, &row.author, &row.title, &row.link];
            let optional = optional.into_iter().flatten().map(String::len);
            row.service.len() + row.id.len() + optional.sum::<usize>()
        };
        let rows = self.rows.iter();
        let rows = rows.map(|row| size_of::<DeployRow>() + texts(row));
        size_of::<Self>() + rows.sum::<usize>()
    }
}

/// A row of the table.
#[derive(Debug, Clone, Row, Serialize, Deserialize)]
struct DeployRow {
    service: String,
    deploy_row: i64,
    version: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    writer: Uuid,
    id: String,
    started_us: u64,
    posted_us: Option<u64>,
    ended_us: Option<u64>,
    replaced: Option<String>,
    author: Option<String>,
    title: Option<String>,
    link: Option<String>,
    discovered: bool,
    replaced_given: bool,
    judged: bool,
    report: String,
}

impl DeployRow {
    fn of(
        rollout: &Rollout,
        deploy_row: i64,
        (version, writer): (u64, Uuid),
        report: String,
    ) -> Self {
        let deploy = &rollout.deploy;
        Self {
            service: deploy.service.clone(),
            deploy_row,
            version,
            writer,
            id: deploy.id.clone(),
            started_us: deploy.started_us,
            posted_us: rollout.posted_us,
            ended_us: deploy.ended_us,
            replaced: deploy.replaced.clone(),
            author: deploy.author.clone(),
            title: deploy.title.clone(),
            link: deploy.link.clone(),
            discovered: rollout.discovered,
            replaced_given: rollout.replaced_given,
            judged: rollout.judged,
            report,
        }
    }

    fn forgotten(service: &str, version: u64) -> Self {
        Self {
            service: service.to_owned(),
            deploy_row: FORGOTTEN_ROW,
            version,
            writer: Uuid::new_v4(),
            id: String::new(),
            started_us: 0,
            posted_us: None,
            ended_us: None,
            replaced: None,
            author: None,
            title: None,
            link: None,
            discovered: false,
            replaced_given: false,
            judged: false,
            report: String::new(),
        }
    }

    /// Where it comes in lists.
    fn place(&self) -> (u64, &str) {
        (self.started_us, &self.id)
    }

    fn key(&self) -> RowKey {
        (self.deploy_row, self.version)
    }

    fn deploy(&self) -> Deploy {
        Deploy {
            service: self.service.clone(),
            id: self.id.clone(),
            started_us: self.started_us,
            ended_us: self.ended_us,
            replaced: self.replaced.clone(),
            author: self.author.clone(),
            title: self.title.clone(),
            link: self.link.clone(),
        }
    }

    fn rollout(&self) -> Rollout {
        Rollout {
            row: Some(self.deploy_row),
            deploy: self.deploy(),
            posted_us: self.posted_us,
            discovered: self.discovered,
            replaced_given: self.replaced_given,
            judged: self.judged,
            changed: false,
        }
    }
}

/// What `change` makes of a service's roll-outs. It is called again if another writer was first.
async fn change<T>(
    client: &Client,
    service: &str,
    change: impl Fn(&mut Rollouts) -> T,
) -> Result<T, StoreError> {
    for _ in 0..TRIES {
        let known = load(client, service).await?;
        let mut rollouts = Rollouts::new(known.rows.iter().map(DeployRow::rollout).collect());
        let made = change(&mut rollouts);
        if save(client, service, &known, rollouts.changed()).await? {
            return Ok(made);
        }
    }
    Err(contended(service))
}

/// All of a service, by rising start and in the order in which they became known; without the reports, which are long.
pub(super) async fn load(client: &Client, service: &str) -> Result<Known, StoreError> {
    let sql = "SELECT ?fields FROM (SELECT * REPLACE ('' AS report) FROM deploys WHERE service = ?)
        ORDER BY version DESC LIMIT 1 BY deploy_row";
    let mut rows: Vec<DeployRow> = client.query(sql).bind(service).fetch_all().await?;
    let next_version = 1 + rows.iter().map(|row| row.version).max().unwrap_or(0);
    rows.retain(|row| row.deploy_row != FORGOTTEN_ROW);
    rows.sort_by_key(|row| (row.started_us, row.deploy_row));
    Ok(Known { rows, next_version })
}

/// `false` if another writer was first.
async fn save(
    client: &Client,
    service: &str,
    known: &Known,
    changed: impl Iterator<Item = &Rollout>,
) -> Result<bool, StoreError> {
    let Known { rows, next_version } = known;
    let version = *next_version;
    let mut next_row = 1 + rows.iter().map(|row| row.deploy_row).max().unwrap_or(0);
    let writer = Uuid::new_v4();
    let changed: Vec<&Rollout> = changed.collect();
    let judged = changed.iter().filter(|rollout| rollout.judged);
    let judged = judged.filter_map(|rollout| rollout.row).collect();
    let mut reports = reports(client, service, judged).await?;
    let changed = changed.into_iter().map(|rollout| {
        let deploy_row = rollout.row.unwrap_or_else(|| {
            next_row += 1;
            next_row - 1
        });
        let report = reports.remove(&deploy_row).unwrap_or_default();
        DeployRow::of(rollout, deploy_row, (version, writer), report)
    });
    let changed = changed.collect();
    write(client, service, version, writer, changed).await
}

/// The reports of roll-outs of a service.
async fn reports(
    client: &Client,
    service: &str,
    rows: Vec<i64>,
) -> Result<HashMap<i64, String>, StoreError> {
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "SELECT deploy_row, argMax(report, version) FROM deploys WHERE service = ? AND deploy_row IN ?
        GROUP BY deploy_row";
    let found = client.query(sql).bind(service).bind(rows);
    let found = found.fetch_all::<(i64, String)>().await?;
    Ok(found.into_iter().collect())
}

async fn write(
    client: &Client,
    service: &str,
    version: u64,
    writer: Uuid,
    rows: Vec<DeployRow>,
) -> Result<bool, StoreError> {
    if rows.is_empty() {
        return Ok(true);
    }
    let token = format!("{version} of {service}");
    let whose = "SELECT toString(writer) FROM deploys WHERE service = ? AND version = ? LIMIT 1";
    let whose = client.query(whose).bind(service).bind(version);
    let first = insert_first(client, "deploys", &token, &rows, whose).await?;
    Ok(first == writer.to_string())
}

/// All of every service in the order in which they became known, each with its final report.
pub(super) async fn every_rollout(
    client: &Client,
) -> Result<Vec<(Rollout, Option<String>)>, StoreError> {
    let sql = format!(
        "SELECT ?fields FROM {} ORDER BY service, deploy_row",
        newest_of("*", "")
    );
    let rows: Vec<DeployRow> = client.query(&sql).fetch_all().await?;
    let known = rows.into_iter().map(|row| {
        let report = row.judged.then(|| row.report.clone());
        (row.rollout(), report)
    });
    Ok(known.collect())
}

/// Adds what another store knew.
pub(super) async fn give_rollouts(
    client: &Client,
    token: Option<&str>,
    known: &[(Rollout, Option<String>)],
) -> Result<(), StoreError> {
    let rows = (1..).zip(known).map(|(deploy_row, (rollout, report))| {
        let report = report.clone().unwrap_or_default();
        DeployRow::of(rollout, deploy_row, (1, Uuid::nil()), report)
    });
    let rows = rows.collect();
    insert(client, "deploys", token, rows).await
}

/// A record of a process that runs `id` came in. From the start on that is returned such records need not be told.
pub(super) async fn see(
    client: &Client,
    service: &str,
    id: &str,
    first_us: u64,
) -> Result<u64, StoreError> {
    change(client, service, |rollouts| {
        rollouts.see(service, id, first_us);
        rollouts.settled_from(id)
    })
    .await
}

/// The CI started, ended or described a roll-out.
pub(super) async fn post(
    client: &Client,
    deploy: Deploy,
    now_us: u64,
) -> Result<PostedDeploy, StoreError> {
    let service = deploy.service.clone();
    change(client, &service, |rollouts| {
        rollouts.post(deploy.clone(), now_us)
    })
    .await
}

/// Keeps a final report, and with it the end of its roll-out where the judge had to infer it.
pub(super) async fn put_report(client: &Client, report: &DeployReport) -> Result<bool, StoreError> {
    let json = reports::written(report)?;
    let deploy = &report.summary.deploy;
    for _ in 0..TRIES {
        let Known { rows, next_version } = load(client, &deploy.service).await?;
        let version = next_version;
        let named = |row: &&DeployRow| row.id == deploy.id && row.started_us == deploy.started_us;
        // Without one a late record moved its start meanwhile; the next look judges it anew.
        let Some(row) = rows.iter().find(named).filter(|row| !row.judged) else {
            return Ok(false);
        };
        let writer = Uuid::new_v4();
        let judged = DeployRow {
            version,
            writer,
            ended_us: row.ended_us.or(deploy.ended_us),
            judged: true,
            report: json.clone(),
            ..row.clone()
        };
        if write(client, &deploy.service, version, writer, vec![judged]).await? {
            return Ok(true);
        }
    }
    Err(contended(&deploy.service))
}

pub(super) async fn list<R: Keepable>(
    client: &Client,
    kept: &Kept,
    query: &DeployQuery,
) -> Result<Vec<DeployEntry<R>>, StoreError> {
    let known = kept.rollouts(client, &query.service).await?;
    let after = (query.after.as_ref()).map(|(started_us, id)| (*started_us, id.as_str()));
    let asked = known.rows.iter().filter(|row| {
        (query.started.from_us..query.started.until_us).contains(&row.started_us)
            && query.id.as_ref().is_none_or(|id| *id == row.id)
            && after.is_none_or(|after| row.place() < after)
    });
    let mut rows: Vec<&DeployRow> = asked.collect();
    rows.sort_by(|a, b| b.place().cmp(&a.place()));
    rows.truncate(query.limit as usize);
    let judged = rows.iter().filter(|row| row.judged);
    let judged: Vec<_> = judged.map(|row| (row.key(), row.deploy())).collect();
    let mut reports = kept.reports(client, &query.service, &judged).await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        let deploy = row.deploy();
        let report = match (row.judged, reports.remove(&row.key())) {
            (false, _) => None,
            // It was forgotten meanwhile.
            (true, None) => continue,
            (true, report) => report,
        };
        entries.push(DeployEntry { deploy, report });
    }
    Ok(entries)
}

pub(super) async fn unjudged(client: &Client) -> Result<Vec<Deploy>, StoreError> {
    let sql = format!(
        "SELECT ?fields FROM (SELECT *, '' AS report FROM {newest}) WHERE NOT judged
        ORDER BY started_us, service, deploy_row",
        newest = newest("")
    );
    let rows: Vec<DeployRow> = client.query(&sql).fetch_all().await?;
    Ok(rows.iter().map(DeployRow::deploy).collect())
}

/// The version by which a roll-out became known: a higher one each time after it was forgotten. 0 if it is not known.
pub(super) async fn known_by(
    client: &Client,
    service: &str,
    id: &str,
    started_us: u64,
) -> Result<u64, StoreError> {
    let sql = format!(
        "SELECT min(version) FROM deploys
        WHERE service = ? AND deploy_row <> {FORGOTTEN_ROW} AND id = ? AND started_us = ?"
    );
    let version = client.query(&sql).bind(service).bind(id).bind(started_us);
    Ok(version.fetch_one::<u64>().await?)
}

pub(super) async fn next_start(
    client: &Client,
    kept: &Kept,
    service: &str,
    started_us: u64,
) -> Result<Option<u64>, StoreError> {
    let known = kept.rollouts(client, service).await?;
    let starts = known.rows.iter().map(|row| row.started_us);
    Ok(starts.filter(|start_us| *start_us > started_us).min())
}

/// Forgets roll-outs with their reports: those that were replaced before, and the last ones of services of which
/// nothing has come since. Returns how many.
pub(super) async fn forget(client: &Client, ddl: &Ddl, horizon_us: u64) -> Result<u64, StoreError> {
    let sql = format!(
        "SELECT service, deploy_row FROM (
            SELECT service, deploy_row, started_us,
                maxIf(started_us, started_us < ?) OVER (PARTITION BY service) AS last_us
            FROM {}
        ) WHERE started_us < ? AND (started_us < last_us OR service NOT IN (
            SELECT service FROM services GROUP BY service HAVING max(services.last_us) >= ?))",
        newest("")
    );
    let found = client.query(&sql).bind(horizon_us).bind(horizon_us);
    let found = found.bind(horizon_us).fetch_all::<(String, i64)>().await?;
    let mut of_service: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (service, deploy_row) in &found {
        of_service.entry(service).or_default().push(*deploy_row);
    }
    let mut forgotten = 0;
    for (service, mut rows) in of_service {
        let version = load(client, service).await?.next_version;
        let mark = DeployRow::forgotten(service, version);
        // Else somebody else changed them meanwhile: the next time they are looked at anew.
        if write(client, service, version, mark.writer, vec![mark]).await? {
            forgotten += rows.len() as u64;
            rows.push(FORGOTTEN_ROW);
            let sql = format!(
                "DELETE FROM {} WHERE service = ? AND deploy_row IN ? AND version < ?",
                ddl.held("deploys")
            );
            let delete = client.query(&sql).bind(service).bind(rows).bind(version);
            delete.execute().await?;
        }
    }
    if forgotten > 0 {
        let known = format!("SELECT service, id, started_us FROM {}", newest(""));
        alerts::forget_all_but(client, ddl, &known).await?;
    }
    Ok(forgotten)
}

fn contended(service: &str) -> StoreError {
    StoreError::Contended(format!("the roll-outs of {service}"))
}
