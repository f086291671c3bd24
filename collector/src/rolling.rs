//! Reports of roll-outs that still go on, kept for a moment.
//!
//! Each is judged by the cells of an hour and more, a tenth of a second of work for a busy service, and asked for by every
//! page that lists roll-outs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use appweight::api::{DeployReport, DeployStatus};
use appweight_wire::Deploy;

use crate::app::App;
use crate::judgement::{judge_now, with_detected};
use crate::options::micros;
use crate::store::StoreError;

/// Reports that are kept: of more than go on at once, nearly always.
const MOST: usize = 64;

/// The newest reports, each with what was known of its roll-out and when it was judged.
#[derive(Default)]
pub(crate) struct Rolling(Mutex<HashMap<Rollout, (Deploy, u64, DeployReport)>>);

/// Service, id and start.
type Rollout = (String, String, u64);

impl Rolling {
    /// What the cells say by now, or said a moment ago.
    pub(crate) async fn report(
        &self,
        app: &Arc<App>,
        deploy: Deploy,
    ) -> Result<DeployReport, StoreError> {
        let now_us = app.options.clock.now_us();
        let key = (deploy.service.clone(), deploy.id.clone(), deploy.started_us);
        if let Some((known, judged_us, report)) = self.lock().get(&key)
            && *known == deploy
            && now_us.saturating_sub(*judged_us) < micros(app.options.keep_rolling)
        {
            return Ok(report.clone());
        }
        let report = judge_now(app, deploy.clone(), DeployStatus::Rolling).await?;
        let report = with_detected(app, report);
        let mut reports = self.lock();
        if reports.len() >= MOST {
            reports.clear();
        }
        reports.insert(key, (deploy, now_us, report.clone()));
        Ok(report)
    }

    /// Reports are put in whole: nothing is half-done under this lock.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Rollout, (Deploy, u64, DeployReport)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use crate::testing::{Bench, NOON, SECOND, batch, cell};

    async fn headline(bench: &Bench) -> Value {
        let mut answer = bench.get("/v1/deploys/b").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["until_us"].take()
    }

    #[tokio::test]
    async fn a_report_is_kept_for_a_moment_unless_the_roll_out_changes() {
        let bench = Bench::with(|options| options.keep_rolling = Duration::from_secs(5));
        let at = |sequence: u64| NOON + sequence * SECOND;
        let put = async |sequence: u64| {
            for (source, deploy) in [(1, "a"), (2, "b")] {
                let mut sent = batch(source, sequence, deploy);
                sent.cells = vec![cell(at(sequence), &[5; 200])];
                assert_eq!(bench.put_batch(&sent).await.status, 201);
            }
        };
        let mut old = batch(1, 0, "a");
        old.cells = vec![cell(NOON, &[5; 200])];
        bench.put_batch(&old).await;
        let start = json!({"service": "photo", "id": "b", "started_us": at(1), "replaced": "a"});
        assert_eq!(bench.post_deploy(start).await.status, 201);
        put(2).await;
        bench.at(at(10));
        let first = headline(&bench).await;
        assert_eq!(first, at(3));
        put(5).await;
        bench.at(at(14));
        assert_eq!(headline(&bench).await, first, "it was judged 4 s ago");
        bench.at(at(15));
        assert_eq!(headline(&bench).await, at(6));
        put(8).await;
        let title = json!({"service": "photo", "id": "b", "started_us": at(1), "title": "faster"});
        assert_eq!(bench.post_deploy(title).await.status, 200);
        assert_eq!(headline(&bench).await, at(9), "more is known of it");
    }
}
