//! Which endpoints a service was counted by lately.

use std::collections::BTreeMap;

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::journal::Group;
use crate::store::StoreError;

/// When one was counted last is written down to a day.
pub(super) const PRECISION_US: u64 = 86_400_000_000;

#[derive(Clone, PartialEq, Eq, Hash, Row, Serialize, Deserialize)]
pub(super) struct EndpointRow {
    pub(super) service: String,
    pub(super) endpoint: String,
    pub(super) counted_us: u64,
}

pub(super) fn rows(group: &Group) -> Vec<EndpointRow> {
    let mut newest: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for new in &group.batches {
        let batch = &new.batch;
        let cells = batch.cells.iter().map(|cell| &cell.key.endpoint);
        let profiles = batch.profiles.iter().map(|profile| &profile.endpoint);
        let day_us = new.received_us - new.received_us % PRECISION_US;
        for endpoint in cells.chain(profiles) {
            let counted = newest.entry((&batch.origin.service, endpoint)).or_default();
            *counted = day_us.max(*counted);
        }
    }
    let rows = newest
        .into_iter()
        .map(|((service, endpoint), counted_us)| EndpointRow {
            service: service.to_owned(),
            endpoint: endpoint.to_owned(),
            counted_us,
        });
    rows.collect()
}

/// Every one of every service.
pub(super) async fn every_one(client: &Client) -> Result<Vec<(String, String, u64)>, StoreError> {
    let sql = "SELECT service, endpoint, max(endpoints.counted_us) FROM endpoints GROUP BY service, endpoint";
    Ok(client.query(sql).fetch_all().await?)
}

/// The newest.
pub(super) async fn list(
    client: &Client,
    service: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let sql = format!(
        "SELECT endpoint FROM endpoints WHERE service = ? GROUP BY endpoint
        ORDER BY max(counted_us) DESC, endpoint LIMIT {limit}"
    );
    Ok(client.query(&sql).bind(service).fetch_all().await?)
}
