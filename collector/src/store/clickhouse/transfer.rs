//! A history read from a database, and written to one, for copies from store to store.

use async_trait::async_trait;
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::connection::{insert, insert_each};
use super::costliest::{self, CostlyRow};
use super::endpoints::EndpointRow;
use super::fold::{CELLS, Folded};
use super::processes;
use super::requests::{self, Arrived, RequestRow, RequestRows};
use super::services::ServiceRow;
use super::{Tables, alerts, cell_rows, cells, claims, days, deploys, endpoints, fold, profiles};
use crate::store::StoreError;
use crate::store::cell_sums::CellSums;
use crate::store::copy::{Count, Known, Part, Rows, Table, Transfer};

#[derive(Row, Serialize, Deserialize)]
struct GivenRow {
    source: String,
    part: String,
}

#[derive(Row, Deserialize)]
struct CountRow {
    service: String,
    deploy: String,
    hour: u64,
    rows: u64,
}

#[async_trait]
impl Transfer for Tables {
    async fn counts(&self, table: Table) -> Result<Vec<Count>, StoreError> {
        if table == Table::Known {
            // A part of its group may be in.
            if let Some(collector) = claims::any_open(&self.client).await? {
                return Err(StoreError::Elsewhere { collector });
            }
            return known_count(&self.client).await;
        }
        let hours = |of: &str| {
            format!(
                "SELECT service, '' AS deploy, intDiv(start_us, 3600000000) AS hour, count() AS rows FROM {of} GROUP BY service, hour"
            )
        };
        let sql = match table {
            Table::Known | Table::Batches => {
                let written = claims::WRITTEN_BATCHES;
                format!(
                    "SELECT '' AS service, '' AS deploy, intDiv(received_us, 3600000000) AS hour, count() AS rows
                    FROM ({written}) GROUP BY hour"
                )
            }
            Table::Cells => {
                let folded = Folded::read(&self.client).await?;
                hours(&format!("({})", cells::every_key(folded)))
            },
            Table::Requests => hours("requests"),
            Table::Processes => hours("processes"),
            Table::Profiles => format!(
                "SELECT service, deploy, toUInt64(0) AS hour, count() AS rows
                FROM (SELECT DISTINCT service, deploy, {}, replicate FROM profiles WHERE service != '') GROUP BY service, deploy",
                profiles::OF
            ),
        };
        let rows = self.client.query(&sql).fetch_all::<CountRow>().await?;
        let counts = rows.into_iter().map(|row| Count {
            service: row.service,
            deploy: row.deploy,
            hour: row.hour,
            rows: row.rows,
        });
        Ok(counts.collect())
    }

    async fn take(&self, part: &Part) -> Result<Rows, StoreError> {
        let client = &self.client;
        let service = part.service.clone();
        Ok(match part.table {
            Table::Known => {
                let folded = Folded::read(client).await?;
                Rows::Known(Known {
                    services: services(client).await?,
                    endpoints: endpoints::every_one(client).await?,
                    minutes_us: folded.minutes_us,
                    hours_us: folded.hours_us,
                    rollouts: deploys::every_rollout(client).await?,
                    alerts: alerts::list(client).await?,
                    days: days::every_one(client).await?,
                })
            }
            Table::Batches => Rows::Batches(claims::every_batch(client, part.time).await?),
            Table::Cells => {
                let cells = cells::every_cell(client, &service, part.time).await?;
                Rows::Cells(service, cells)
            }
            Table::Requests => {
                let requests = requests::every(client, &service, part.time).await?;
                Rows::Requests(requests)
            }
            Table::Processes => {
                let processes = processes::every(client, &service, part.time).await?;
                Rows::Processes(processes)
            }
            Table::Profiles => {
                let parts = profiles::every_part(client, &service, &part.deploy).await?;
                Rows::Profiles(service, part.deploy.clone(), parts)
            }
        })
    }

    async fn give(&self, source: &str, part: &str, rows: Rows) -> Result<(), StoreError> {
        let client = &self.client;
        // What is in of a part that was cut off is known by this, and stays as it is.
        let token = format!("copy {source} {part}");
        let token = Some(token.as_str());
        match rows {
            Rows::Mark => {}
            Rows::Known(known) => give_known(client, token, known).await?,
            Rows::Batches(batches) => {
                let group =
                    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{source} {part}").as_bytes());
                claims::copied(client, token, group, &batches).await?;
            }
            Rows::Cells(service, placed) => {
                let sums = CellSums::of_kept(&service, &placed);
                // How far the past is folded is in already. What is not told in some detail is not kept in it.
                let folded = Folded::read(client).await?;
                let rows = cell_rows::rows(&sums, |detail, key| {
                    key.start_us >= folded.stretch(detail).from_us
                });
                insert(client, CELLS, token, rows).await?;
            }
            Rows::Requests(requests) => {
                // What arrived is numbered by the other store, from 1 if that is SQLite: before all that will come.
                let requests = (1..).zip(&requests);
                let requests =
                    requests.map(|(at, kept)| (&kept.origin, &kept.record, kept.arrived, at));
                let requests: Vec<Arrived<'_>> = requests.collect();
                let costliest = costliest::rows(requests.clone());
                insert_each::<CostlyRow<'_>>(client, "costliest", token, costliest).await?;
                let rows = RequestRows::of(requests);
                insert_each::<RequestRow<'_>>(client, "requests", token, rows).await?;
            }
            Rows::Processes(processes) => {
                let rows = (0..).zip(&processes);
                let rows = rows.map(|(at, kept)| processes::row(kept, (0, at)));
                let rows = rows.collect();
                insert(client, "processes", token, rows).await?;
            }
            Rows::Profiles(service, deploy, parts) => {
                let parts = profiles::Parts::copied(&service, &deploy, parts);
                insert(client, "profiles", token, parts.rows()).await?;
                insert(client, "profile_nodes", token, parts.node_rows()).await?;
            }
        }
        let row = GivenRow {
            source: source.to_owned(),
            part: part.to_owned(),
        };
        // Said twice it is the same.
        insert(client, "copies", None, vec![row]).await
    }

    async fn given(&self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = self.client.query("SELECT ?fields FROM copies");
        let rows = rows.fetch_all::<GivenRow>().await?;
        Ok(rows.into_iter().map(|row| (row.source, row.part)).collect())
    }
}

async fn known_count(client: &Client) -> Result<Vec<Count>, StoreError> {
    // A change of a roll-out is a row too: whatever is told of one changes the number.
    let mut rows = 0;
    for of in [
        "(SELECT DISTINCT service FROM services)",
        "(SELECT DISTINCT service, endpoint FROM endpoints)",
        "(SELECT DISTINCT step, until_us FROM folded)",
        "deploys",
        "alerts",
        "(SELECT DISTINCT service, start_us FROM days)",
    ] {
        let count = client.query(&format!("SELECT count() FROM {of}"));
        rows += count.fetch_one::<u64>().await?;
    }
    Ok(vec![Count {
        service: String::new(),
        deploy: String::new(),
        hour: 0,
        rows,
    }])
}

async fn services(client: &Client) -> Result<Vec<(String, u64, u64)>, StoreError> {
    let sql = "SELECT service, min(services.first_us), max(services.last_us) FROM services GROUP BY service";
    Ok(client.query(sql).fetch_all().await?)
}

async fn give_known(client: &Client, token: Option<&str>, known: Known) -> Result<(), StoreError> {
    let services = known.services.iter();
    let services =
        services.map(|(service, first_us, last_us)| ServiceRow::new(service, *first_us, *last_us));
    let services = services.collect();
    insert(client, "services", token, services).await?;
    let endpoints = known.endpoints.into_iter();
    let endpoints = endpoints.map(|(service, endpoint, counted_us)| EndpointRow {
        service,
        endpoint,
        counted_us,
    });
    let endpoints = endpoints.collect();
    insert(client, "endpoints", token, endpoints).await?;
    for (step, until_us) in [("minutes", known.minutes_us), ("hours", known.hours_us)] {
        fold::tell(client, step, until_us).await?;
    }
    alerts::give(client, token, &known.alerts).await?;
    days::give(client, token, &known.days).await?;
    deploys::give_rollouts(client, token, &known.rollouts).await
}
