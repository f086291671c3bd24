//! Which services there are, and since when.

use appweight::api::ServiceSummary;
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::ddl::Ddl;
use super::deploys::newest;
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

/// In one question: pages ask it before each of theirs.
pub(super) async fn services(client: &Client) -> Result<Vec<ServiceSummary>, StoreError> {
    #[derive(Row, Deserialize)]
    struct Found {
        service: String,
        known: u64,
        known_from_us: u64,
        known_until_us: u64,
        deploys: u64,
        deploy: String,
        deployed_us: u64,
    }
    let sql = format!(
        "SELECT service, countIf(found.is_known) AS known,
            minIf(first_us, found.is_known) AS known_from_us, maxIf(last_us, found.is_known) AS known_until_us,
            countIf(NOT found.is_known) AS deploys,
            argMaxIf(id, (first_us, deploy_row), NOT found.is_known) AS deploy,
            minIf(first_us, NOT found.is_known) AS deployed_us
        FROM (
            SELECT service, true AS is_known, toUInt64(services.first_us) AS first_us,
                toUInt64(services.last_us) AS last_us, '' AS id,
                toInt64(0) AS deploy_row FROM services
            UNION ALL
            SELECT toString(service), false, started_us, 0, id, deploy_row FROM {}
        ) AS found GROUP BY service ORDER BY service",
        newest("")
    );
    let found = client.query(&sql).fetch_all::<Found>().await?;
    let services = found.into_iter().map(|found| {
        let (first_us, last_us) = if found.known > 0 {
            (found.known_from_us, found.known_until_us)
        } else {
            (found.deployed_us, found.deployed_us)
        };
        ServiceSummary {
            service: found.service,
            first_us,
            last_us,
            deploy: (found.deploys > 0).then_some(found.deploy),
        }
    });
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
