//! Which services there are, and since when.

use std::collections::BTreeMap;

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

pub(super) async fn services(client: &Client) -> Result<Vec<ServiceSummary>, StoreError> {
    #[derive(Row, Deserialize)]
    struct DeployRow {
        service: String,
        id: String,
        first_us: u64,
    }
    let known =
        "SELECT service, min(services.first_us) AS first_us, max(services.last_us) AS last_us
        FROM services GROUP BY service";
    let deploys = format!(
        "SELECT service, argMax(id, (started_us, deploy_row)) AS id, min(started_us) AS first_us
        FROM {} GROUP BY service",
        newest("")
    );
    let (known, deploys) = tokio::try_join!(
        client.query(known).fetch_all::<ServiceRow>(),
        client.query(&deploys).fetch_all::<DeployRow>(),
    )?;
    let mut services: BTreeMap<String, ServiceSummary> = BTreeMap::new();
    for row in known {
        let summary = ServiceSummary {
            service: row.service.clone(),
            first_us: row.first_us,
            last_us: row.last_us,
            deploy: None,
        };
        services.insert(row.service, summary);
    }
    for row in deploys {
        let known = services
            .entry(row.service.clone())
            .or_insert(ServiceSummary {
                service: row.service,
                first_us: row.first_us,
                last_us: row.first_us,
                deploy: None,
            });
        known.deploy = Some(row.id);
    }
    Ok(services.into_values().collect())
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
