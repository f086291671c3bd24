use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use appweight::alerts::Outcome;
use appweight::api::{AlertState, DeployReport};
use appweight_wire::Deploy;

use super::called::{stand, withdraw};
use super::{change, set};
use crate::app::App;
use crate::options::micros;
use crate::store::{AlertStatus, DeployQuery, StoreError, TimeRange};

/// What became heavier longer ago is not followed any more.
const FOLLOWED: Duration = Duration::from_secs(30 * 86_400);
/// Reports are large: so many are read at once.
const PAGE: u32 = 50;

/// What was said of roll-outs lately. Known to the one that judges.
#[derive(Debug, Default)]
pub(crate) struct Followed(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Final reports of each service, by rising start; absent before the store was asked.
    outcomes: Option<BTreeMap<String, Vec<Outcome>>>,
    /// What was called while a roll-out was under watch.
    called: BTreeMap<Rollout, Call>,
    /// Up to when the cells went of what was noted last of a roll-out under watch, µs.
    noted: BTreeMap<Rollout, u64>,
    /// Whether alerts are left to be changed as the reports say: the store may fail in between.
    is_behind: bool,
}

/// Service, id and start.
type Rollout = (String, String, u64);

#[derive(Debug, Clone, Copy)]
struct Call {
    at_us: u64,
    is_withdrawn: bool,
}

impl Followed {
    /// The roll-outs that have an alert, each with when it was opened, µs.
    pub(super) fn regressed(&self) -> Vec<(Deploy, u64)> {
        let known = self.lock();
        let called = known.called.iter();
        let mut regressed: BTreeMap<Rollout, u64> = called
            .map(|(rollout, call)| (rollout.clone(), call.at_us))
            .collect();
        for (service, outcomes) in known.outcomes.iter().flatten() {
            for outcome in outcomes.iter().filter(|outcome| outcome.regressed) {
                let rollout = (service.clone(), outcome.id.clone(), outcome.started_us);
                regressed.entry(rollout).or_insert(outcome.judged_us);
            }
        }
        let regressed = regressed.into_iter();
        regressed
            .map(|(rollout, at_us)| (deploy_of(rollout), at_us))
            .collect()
    }

    /// Whether the cells of a roll-out under watch go further than what was [noted](Self::note) of it.
    pub(super) fn is_news(&self, deploy: &Deploy, until_us: Option<u64>) -> bool {
        self.lock().noted.get(&key(deploy)) != Some(&until_us.unwrap_or(0))
    }

    /// All that cells up to then say was done.
    pub(super) fn note(&self, deploy: &Deploy, until_us: Option<u64>) {
        let mut known = self.lock();
        known.noted.insert(key(deploy), until_us.unwrap_or(0));
    }

    /// Whether a roll-out was called and stands.
    pub(crate) fn is_called(&self, deploy: &Deploy) -> bool {
        let known = self.lock();
        let call = known.called.get(&key(deploy));
        call.is_some_and(|call| !call.is_withdrawn)
    }

    /// Takes up what was called, as it is kept.
    pub(super) fn keep_called(&self, status: &AlertStatus) {
        keep_called(&mut self.lock().called, status);
    }

    /// Has the store asked anew.
    pub(crate) fn forget_what_is_known(&self) {
        *self.lock() = Known::default();
    }

    /// Asks the store, the first time, for all that was judged and called before.
    pub(crate) async fn learn(&self, app: &App) -> Result<(), StoreError> {
        if self.lock().outcomes.is_some() {
            return Ok(());
        }
        let (outcomes, called) = (read(app).await?, app.store.alert_statuses().await?);
        let mut known = self.lock();
        for status in &called {
            keep_called(&mut known.called, status);
        }
        known.outcomes = Some(outcomes);
        known.is_behind = true;
        Ok(())
    }

    /// Takes up what was just judged, and resolves the alerts of what is as light as before.
    pub(crate) async fn follow(
        &self,
        app: &App,
        reports: &[DeployReport],
    ) -> Result<(), StoreError> {
        let (undone, settled) = {
            let mut known = self.lock();
            let known = &mut *known;
            let Some(outcomes) = &mut known.outcomes else {
                // What the store has is learned at once.
                return Ok(());
            };
            for report in reports {
                take_up(outcomes, report);
                known.noted.remove(&key(&report.summary.deploy));
                known.is_behind = true;
            }
            if !known.is_behind {
                return Ok(());
            }
            let undone = undone(outcomes, app.options.thresholds.min_change);
            (undone, settled(outcomes, &mut known.called))
        };
        for (deploy, regressed) in settled {
            if regressed {
                stand(app, &deploy).await?;
            } else {
                withdraw(app, &deploy).await?;
            }
        }
        self.resolve(app, undone).await?;
        self.lock().is_behind = false;
        Ok(())
    }

    /// What is put in is whole: nothing is half-done under this lock.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

fn key(deploy: &Deploy) -> Rollout {
    (deploy.service.clone(), deploy.id.clone(), deploy.started_us)
}

fn deploy_of((service, id, started_us): Rollout) -> Deploy {
    Deploy {
        service,
        id,
        started_us,
        ..Deploy::default()
    }
}

fn keep_called(called: &mut BTreeMap<Rollout, Call>, status: &AlertStatus) {
    if let Some(call) = &status.called {
        let rollout = (
            status.service.clone(),
            status.deploy.clone(),
            status.started_us,
        );
        let call = Call {
            at_us: call.at_us,
            is_withdrawn: call.is_withdrawn,
        };
        called.insert(rollout, call);
    }
}

/// What was called and whose final report says otherwise, and whether that is a regression. What is too old is dropped.
fn settled(
    outcomes: &BTreeMap<String, Vec<Outcome>>,
    called: &mut BTreeMap<Rollout, Call>,
) -> Vec<(Deploy, bool)> {
    let mut settled = Vec::new();
    let newest = called.keys().map(|rollout| rollout.2).max().unwrap_or(0);
    called.retain(|rollout, _| rollout.2 >= newest.saturating_sub(micros(FOLLOWED)));
    for (rollout, call) in called.iter() {
        let mut judged = outcomes.get(&rollout.0).into_iter().flatten();
        let judged = judged.find(|one| (&one.id, one.started_us) == (&rollout.1, rollout.2));
        if let Some(outcome) = judged
            && outcome.regressed == call.is_withdrawn
        {
            settled.push((deploy_of(rollout.clone()), outcome.regressed));
        }
    }
    settled
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
