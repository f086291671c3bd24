//! What is kept of days.

use appweight::drift::Day;
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::connection::insert;
use crate::store::{StoreError, TimeRange, days};

#[derive(Row, Serialize, Deserialize)]
struct DayRow {
    service: String,
    start_us: u64,
    day: String,
}

impl DayRow {
    fn of(day: &Day) -> Result<Self, StoreError> {
        Ok(Self {
            service: day.service.clone(),
            start_us: day.start_us,
            day: days::pack(day)?,
        })
    }
}

/// Keeps a day, unless it is there.
pub(super) async fn put(client: &Client, day: &Day) -> Result<(), StoreError> {
    let known = client
        .query("SELECT count() FROM days WHERE service = ? AND start_us = ?")
        .bind(&day.service)
        .bind(day.start_us);
    if known.fetch_one::<u64>().await? > 0 {
        return Ok(());
    }
    insert(client, "days", None, vec![DayRow::of(day)?]).await
}

/// Adds what another store kept.
pub(super) async fn give(
    client: &Client,
    token: Option<&str>,
    days: &[Day],
) -> Result<(), StoreError> {
    let rows = days.iter().map(DayRow::of).collect::<Result<_, _>>()?;
    insert(client, "days", token, rows).await
}

/// Those of a service that begin in that time, in order.
pub(super) async fn list(
    client: &Client,
    service: &str,
    time: TimeRange,
) -> Result<Vec<Day>, StoreError> {
    let sql = "SELECT ?fields FROM days WHERE service = ? AND start_us >= ? AND start_us < ?
        ORDER BY start_us LIMIT 1 BY start_us";
    let of = client.query(sql).bind(service);
    let rows = of.bind(time.from_us).bind(time.until_us);
    read(rows.fetch_all::<DayRow>().await?)
}

/// Those of all services.
pub(super) async fn every_one(client: &Client) -> Result<Vec<Day>, StoreError> {
    let sql = "SELECT ?fields FROM days ORDER BY service, start_us LIMIT 1 BY service, start_us";
    read(client.query(sql).fetch_all::<DayRow>().await?)
}

fn read(rows: Vec<DayRow>) -> Result<Vec<Day>, StoreError> {
    rows.iter().map(|row| days::unpack(&row.day)).collect()
}
