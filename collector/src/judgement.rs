//! From the store to the judge: which cells a roll-out is judged by.

use std::sync::Arc;

use appweight::api::{Comparison, Control, DeployReport, DeployStatus, Detected};
use appweight::evidence::Evidence;
use appweight::judge::judge;
use appweight::live::judged_by;
use appweight::thresholds::MAX_EARLIER_ROLL_OUTS;
use appweight_wire::Deploy;

use crate::app::App;
use crate::live::Said;
use crate::off_the_runtime::off_the_runtime;
use crate::store::{CellQuery, DeployQuery, ProcessQuery, StoreError, TimeRange};

/// What happened longer before a roll-out, or after its end, says little about it.
const FURTHEST_US: u64 = 3_600_000_000;

/// Earlier roll-outs that are looked through for those that compared deploys side by side.
const MOST_EARLIER: usize = 40;

/// Judges a roll-out by what is in the store now.
pub(crate) async fn judge_now(
    app: &Arc<App>,
    deploy: Deploy,
    status: DeployStatus,
) -> Result<DeployReport, StoreError> {
    let evidence = gather(app, &deploy).await?;
    let app = Arc::clone(app);
    off_the_runtime(move || judge(&deploy, status, &evidence, &app.options.thresholds)).await
}

/// The report with what the detector said last, whose verdict stands where it has one.
pub(crate) fn with_detected(app: &App, report: DeployReport) -> DeployReport {
    let now_us = app.options.clock.now_us();
    let detected = match app.detectors.said(&report.summary.deploy, now_us) {
        Said::This(detected, _) => *detected,
        Said::Reading => Detected::silent("its cells are still read".to_owned(), true),
        Said::Nothing => return report,
    };
    judged_by(detected, report, &app.options.thresholds)
}

/// What depends on nothing else is asked for side by side: much of it is waiting, and readers are many.
async fn gather(app: &App, deploy: &Deploy) -> Result<Evidence, StoreError> {
    let (store, service) = (&app.store, deploy.service.as_str());
    let (next_us, widths) = tokio::try_join!(
        store.next_start(service, deploy.started_us),
        store.cell_widths(service),
    )?;
    let (_, widest_us) = widths.unwrap_or_default();
    let time = window(deploy, next_us, widest_us, app.options.clock.now_us());
    let query = CellQuery {
        service: service.to_owned(),
        deploys: Vec::new(),
        time,
    };
    let young = async {
        match &deploy.replaced {
            Some(replaced) => store.process_points(youth(deploy, replaced, time)).await,
            None => Ok(Vec::new()),
        }
    };
    let (cells, mut processes, all, earlier) = tokio::try_join!(
        store.moments(query, None),
        young,
        store.process_points(ProcessQuery::all(service, time)),
        earlier(app, service, deploy.started_us),
    )?;
    processes.extend(all);
    Ok(Evidence {
        cells,
        processes,
        earlier,
    })
}

/// How the service's roll-outs before that time compared, the newest first: as many as the judge learns from.
pub(crate) async fn earlier(
    app: &App,
    service: &str,
    before_us: u64,
) -> Result<Vec<Comparison>, StoreError> {
    let mut query = DeployQuery {
        service: service.to_owned(),
        id: None,
        started: TimeRange {
            from_us: 0,
            until_us: before_us,
        },
        after: None,
        limit: 0,
    };
    let (mut found, mut looked_at) = (Vec::new(), 0);
    // Reports are large, and nearly all of them are of use: none is read that is not needed.
    while found.len() < MAX_EARLIER_ROLL_OUTS && looked_at < MOST_EARLIER {
        let wanted = (MAX_EARLIER_ROLL_OUTS - found.len()).min(MOST_EARLIER - looked_at);
        query.limit = wanted as u32;
        let entries = app.store.deploys(query.clone()).await?;
        let Some(last) = entries.last() else {
            break;
        };
        query.after = Some((last.deploy.started_us, last.deploy.id.clone()));
        looked_at += entries.len();
        let comparisons = entries
            .into_iter()
            .filter_map(|entry| entry.report?.comparison);
        found.extend(comparisons.filter(|comparison| comparison.control == Control::SideBySide));
    }
    Ok(found)
}

/// The records of the replaced deploy's processes from before that time, when they were as young as
/// the new ones are in it: memory is compared at equal age.
fn youth(deploy: &Deploy, replaced: &str, time: TimeRange) -> ProcessQuery {
    ProcessQuery {
        service: deploy.service.clone(),
        deploy: Some(replaced.to_owned()),
        time: TimeRange {
            from_us: 0,
            until_us: time.from_us,
        },
        oldest_us: time.until_us.saturating_sub(deploy.started_us),
    }
}

/// The time that a roll-out is judged by: as long before it as it took, and until the next one began.
fn window(deploy: &Deploy, next_us: Option<u64>, widest_us: u64, now_us: u64) -> TimeRange {
    let ended_us = deploy.ended_us.unwrap_or(now_us);
    let took_us = ended_us.saturating_sub(deploy.started_us);
    let lookback_us = took_us.max(2 * widest_us).min(FURTHEST_US);
    TimeRange {
        from_us: deploy.started_us.saturating_sub(lookback_us),
        // A record of a clock that is ahead still belongs to now.
        until_us: next_us
            .unwrap_or(u64::MAX)
            .min(now_us.max(ended_us).saturating_add(widest_us))
            .min(ended_us.saturating_add(FURTHEST_US)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000;

    fn rolled(ended_us: Option<u64>) -> Deploy {
        Deploy {
            started_us: 1_000 * MINUTE,
            ended_us,
            ..Deploy::default()
        }
    }

    #[test]
    fn looks_back_as_long_as_the_roll_out_took_and_stops_at_the_next() {
        let time = window(
            &rolled(Some(1_010 * MINUTE)),
            Some(1_012 * MINUTE),
            MINUTE,
            1_020 * MINUTE,
        );
        assert_eq!(
            (time.from_us, time.until_us),
            (990 * MINUTE, 1_012 * MINUTE)
        );
    }

    #[test]
    fn looks_back_two_cells_at_least_and_an_hour_at_most() {
        let time = window(&rolled(None), None, MINUTE, 1_000 * MINUTE);
        assert_eq!(
            (time.from_us, time.until_us),
            (998 * MINUTE, 1_001 * MINUTE)
        );
        let time = window(&rolled(Some(1_900 * MINUTE)), None, MINUTE, 9_000 * MINUTE);
        assert_eq!(
            (time.from_us, time.until_us),
            (940 * MINUTE, 1_960 * MINUTE)
        );
    }
}
