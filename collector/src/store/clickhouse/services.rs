//! Which services there are, and since when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use appweight::api::ServiceSummary;
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::connection::alone;
use super::ddl::Ddl;
use super::deploys::newest;
use super::kept::Kept;
use crate::store::StoreError;

#[derive(Clone, Row, Serialize, Deserialize)]
pub(super) struct ServiceRow {
    service: String,
    first_us: u64,
    last_us: u64,
}

impl ServiceRow {
    pub(super) fn new(service: &str, first_us: u64, last_us: u64) -> Self {
        Self {
            service: service.to_owned(),
            first_us,
            last_us,
        }
    }

    pub(super) fn service(&self) -> &str {
        &self.service
    }

    /// Whether adding the other changes nothing.
    pub(super) fn spans(&self, other: &Self) -> bool {
        self.first_us <= other.first_us && other.last_us <= self.last_us
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.first_us = self.first_us.min(other.first_us);
        self.last_us = self.last_us.max(other.last_us);
    }
}

/// In one question, nearly always: pages ask it before each of theirs.
pub(super) async fn services(
    client: &Client,
    kept: &Kept,
) -> Result<Vec<ServiceSummary>, StoreError> {
    /// Of a service its first and its last time, or of its roll-outs the newest version and the number of rows.
    #[derive(Row, Deserialize)]
    struct Found {
        service: String,
        of_deploys: bool,
        numbers: (u64, u64),
    }
    let sql = "SELECT service, false AS of_deploys,
            (toUInt64(min(services.first_us)), toUInt64(max(services.last_us))) AS numbers
        FROM services GROUP BY service
        UNION ALL SELECT toString(service), true, (max(version), count()) FROM deploys GROUP BY service";
    let began = Instant::now();
    let found = alone(client.query(sql)).fetch_all::<Found>().await?;
    let (of_deploys, found): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|found| found.of_deploys);
    let states = (of_deploys.into_iter()).map(|found| (found.service, found.numbers));
    let states = Arc::new(states.collect());
    kept.look(began, Arc::clone(&states));
    let deploys = kept.newest(client, states).await?;
    let summary = |service: &str, first_us, last_us| {
        let deploy = deploys.get(service).map(|newest| newest.id.clone());
        let service = service.to_owned();
        ServiceSummary {
            service,
            first_us,
            last_us,
            deploy,
        }
    };
    let known: BTreeMap<&str, (u64, u64)> = (found.iter())
        .map(|found| (found.service.as_str(), found.numbers))
        .collect();
    let posted = deploys.iter().map(|(service, newest)| {
        let posted_us = newest.first_us;
        (service.as_str(), (posted_us, posted_us))
    });
    // What is known by its records goes before what is known by a deploy alone.
    let all: BTreeMap<_, _> = posted.chain(known).collect();
    let services = all.into_iter();
    let services =
        services.map(|(service, (first_us, last_us))| summary(service, first_us, last_us));
    Ok(services.collect())
}

/// Forgets services without a roll-out, of which nothing has come since. Returns how many.
pub(super) async fn forget(client: &Client, ddl: &Ddl, horizon_us: u64) -> Result<u64, StoreError> {
    let sql = format!(
        "SELECT service FROM services WHERE service NOT IN (SELECT service FROM {})
        GROUP BY service HAVING max(services.last_us) < ?",
        newest("")
    );
    let gone = client.query(&sql).bind(horizon_us);
    let gone = gone.fetch_all::<String>().await?;
    if !gone.is_empty() {
        let sql = format!(
            "DELETE FROM {} WHERE service IN ? AND last_us < ?",
            ddl.held("services")
        );
        let delete = client.query(&sql).bind(&gone).bind(horizon_us);
        delete.execute().await?;
    }
    Ok(gone.len() as u64)
}
