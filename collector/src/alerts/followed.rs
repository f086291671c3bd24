use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use appweight::alerts::Outcome;
use appweight::api::{AlertState, DeployReport};
use appweight_wire::Deploy;

use super::{change, set};
use crate::app::App;
use crate::options::micros;
use crate::store::{DeployQuery, StoreError, TimeRange};

/// What became heavier longer ago is not followed any more.
const FOLLOWED: Duration = Duration::from_secs(30 * 86_400);
/// Reports are large: so many are read at once.
const PAGE: u32 = 50;

/// What was said of each service's roll-outs lately, by rising start. Known to the one that judges.
#[derive(Debug, Default)]
pub(crate) struct Followed(Mutex<Option<BTreeMap<String, Vec<Outcome>>>>);

impl Followed {
    /// The roll-outs that made their service heavier, each with when it was judged, µs.
    pub(super) fn regressed(&self) -> Vec<(Deploy, u64)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut regressed = Vec::new();
        for (service, outcomes) in known.iter().flatten() {
            let heavier = outcomes.iter().filter(|outcome| outcome.regressed);
            regressed.extend(heavier.map(|outcome| (deploy(service, outcome), outcome.judged_us)));
        }
        regressed
    }

    /// Takes up what was just judged, and resolves the alerts of what is as light as before. At the first time
    /// the store is asked for all that was judged before.
    pub(crate) async fn follow(
        &self,
        app: &App,
        reports: &[DeployReport],
    ) -> Result<(), StoreError> {
        let is_known = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.is_some()
        };
        if is_known && reports.is_empty() {
            return Ok(());
        }
        // All that the store has are among them, if this is the first time.
        let read = if is_known {
            BTreeMap::new()
        } else {
            read(app).await?
        };
        let undone = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let known = known.get_or_insert(read);
            for report in reports {
                take_up(known, report);
            }
            undone(known, app.options.thresholds.min_change)
        };
        self.resolve(app, undone).await
    }

    async fn resolve(&self, app: &App, undone: Vec<(Deploy, String)>) -> Result<(), StoreError> {
        if undone.is_empty() {
            return Ok(());
        }
        let statuses = app.store.alert_statuses().await?.into_iter();
        let resolved: BTreeSet<(String, String, u64)> = statuses
            .filter(|status| status.state == AlertState::Resolved)
            .map(|status| (status.service, status.deploy, status.started_us))
            .collect();
        for (deploy, by) in undone {
            let key = (deploy.service.clone(), deploy.id.clone(), deploy.started_us);
            if resolved.contains(&key) {
                continue;
            }
            let now_us = app.options.clock.now_us();
            change(app, &deploy, |status| {
                if status.state == AlertState::Resolved {
                    return false;
                }
                set(status, AlertState::Resolved, now_us);
                status.resolved_by = Some(by.clone());
                true
            })
            .await?;
            let (service, deploy) = (deploy.service, deploy.id);
            tracing::info!(
                service,
                deploy,
                by,
                "as light as before: the alert is resolved"
            );
        }
        Ok(())
    }
}

fn deploy(service: &str, outcome: &Outcome) -> Deploy {
    Deploy {
        service: service.to_owned(),
        id: outcome.id.clone(),
        started_us: outcome.started_us,
        ..Deploy::default()
    }
}

async fn read(app: &App) -> Result<BTreeMap<String, Vec<Outcome>>, StoreError> {
    let mut known: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
    let from_us = app.options.clock.now_us().saturating_sub(micros(FOLLOWED));
    for service in app.store.services().await? {
        let mut query = DeployQuery {
            service: service.service,
            id: None,
            started: TimeRange {
                from_us,
                ..TimeRange::ALL
            },
            after: None,
            limit: PAGE,
        };
        loop {
            let entries = app.store.deploys(query.clone()).await?;
            let Some(last) = entries.last() else {
                break;
            };
            query.after = Some((last.deploy.started_us, last.deploy.id.clone()));
            for report in entries.iter().filter_map(|entry| entry.report.as_ref()) {
                take_up(&mut known, report);
            }
        }
    }
    Ok(known)
}

fn take_up(known: &mut BTreeMap<String, Vec<Outcome>>, report: &DeployReport) {
    let outcome = Outcome::of(report);
    let outcomes = known
        .entry(report.summary.deploy.service.clone())
        .or_default();
    let key = |outcome: &Outcome| (outcome.started_us, outcome.id.clone());
    match outcomes.binary_search_by_key(&key(&outcome), key) {
        Ok(at) => outcomes[at] = outcome,
        Err(at) => outcomes.insert(at, outcome),
    }
}

/// What became heavier and is as light as before, with the deploy that made it so. What is too old is dropped.
fn undone(known: &mut BTreeMap<String, Vec<Outcome>>, min_change: f64) -> Vec<(Deploy, String)> {
    let mut undone = Vec::new();
    for (service, outcomes) in known.iter_mut() {
        let newest_us = outcomes.last().map_or(0, |newest| newest.started_us);
        let oldest_us = newest_us.saturating_sub(micros(FOLLOWED));
        outcomes.retain(|outcome| outcome.started_us >= oldest_us);
        for (at, outcome) in outcomes.iter().enumerate() {
            if !outcome.regressed {
                continue;
            }
            let later = outcomes.get(at + 1..).unwrap_or_default();
            if let Some(by) = outcome.undone_by(later, min_change) {
                undone.push((deploy(service, outcome), by.id.clone()));
            }
        }
    }
    undone
}
