//! What was done about alerts: by versions, as roll-outs are.

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::connection::{fetch_each, insert};
use super::ddl::Ddl;
use super::deploys;
use super::missing::insert_first;
use crate::store::{AlertStatus, StoreError};

/// A row of the table.
#[derive(Debug, Clone, Row, Serialize, Deserialize)]
struct AlertRow {
    service: String,
    deploy: String,
    started_us: u64,
    version: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    writer: Uuid,
    status: String,
}

/// Keeps a status if it is the next version of what is kept.
pub(super) async fn put(client: &Client, status: &AlertStatus) -> Result<bool, StoreError> {
    const OF_IT: &str = "FROM alerts WHERE service = ? AND deploy = ? AND started_us = ?";
    let ask = |sql: String| {
        let of_service = client.query(&sql).bind(&status.service);
        of_service.bind(&status.deploy).bind(status.started_us)
    };
    let newest = ask(format!("SELECT max(version) {OF_IT}"));
    if newest.fetch_one::<u64>().await? + 1 != status.version {
        return Ok(false);
    }
    let row = row(status, Uuid::new_v4())?;
    let roll_out = deploys::known_by(client, &status.service, &status.deploy, status.started_us);
    let (writer, token) = (row.writer, token(status, roll_out.await?));
    let whose = ask(format!(
        "SELECT toString(writer) {OF_IT} AND version = ? LIMIT 1"
    ));
    let whose = whose.bind(status.version);
    let first = insert_first(client, "alerts", &token, &[row], whose).await?;
    Ok(first == writer.to_string())
}

/// Adds what another store kept.
pub(super) async fn give(
    client: &Client,
    token: Option<&str>,
    statuses: &[AlertStatus],
) -> Result<(), StoreError> {
    let rows = statuses.iter().map(|status| row(status, Uuid::nil()));
    let rows = rows.collect::<Result<_, _>>()?;
    insert(client, "alerts", token, rows).await
}

fn row(status: &AlertStatus, writer: Uuid) -> Result<AlertRow, StoreError> {
    Ok(AlertRow {
        service: status.service.clone(),
        deploy: status.deploy.clone(),
        started_us: status.started_us,
        version: status.version,
        writer,
        status: serde_json::to_string(status).map_err(|error| unreadable(&error))?,
    })
}

/// The same for all who write that version of that alert: the first of them is in, whatever the others write. Another
/// one if its roll-out was forgotten and came again, since what is forgotten begins with the first version again.
fn token(status: &AlertStatus, roll_out: u64) -> String {
    let of = (&status.service, &status.deploy, status.started_us);
    format!("alert {} {of:?} {roll_out}", status.version)
}

pub(super) async fn list(client: &Client) -> Result<Vec<AlertStatus>, StoreError> {
    let sql =
        "SELECT ?fields FROM alerts ORDER BY version DESC LIMIT 1 BY service, deploy, started_us";
    let status =
        |row: AlertRow| serde_json::from_str(&row.status).map_err(|error| unreadable(&error));
    fetch_each(client.query(sql), status).await
}

/// Forgets those of other roll-outs than the known ones, of which service, id and start are selected.
pub(super) async fn forget_all_but(
    client: &Client,
    ddl: &Ddl,
    known: &str,
) -> Result<(), StoreError> {
    let sql = format!(
        "DELETE FROM {} WHERE (service, deploy, started_us) NOT IN ({known})",
        ddl.held("alerts")
    );
    Ok(client.query(&sql).execute().await?)
}

fn unreadable(error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt {
        what: "status of an alert",
        reason: error.to_string(),
    }
}
