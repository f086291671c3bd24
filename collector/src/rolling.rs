//! Reports of roll-outs that still go on, kept for a moment.
//!
//! Each is judged by the cells of an hour and more, a tenth of a second of work for a busy service and seconds for a busy
//! ClickHouse, and asked for by every page that lists roll-outs. So one is judged once at a time, whoever asks; and nobody waits
//! for that who asked a little while ago what it said.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use appweight::api::{DeployReport, DeployStatus};
use appweight_wire::Deploy;
use tokio::sync::{OwnedMutexGuard, Semaphore};

use crate::app::App;
use crate::judgement::{judge_now, with_detected};
use crate::lock::lock;
use crate::options::micros;
use crate::store::{StoreError, question};

/// Roll-outs that are kept: more than go on at once, nearly always.
const MOST: usize = 64;
/// So many times as long as a report is taken for new it is still told, while the next one is made.
const TOLD_TIMES: u64 = 6;
/// Roll-outs that are judged for readers at once: the cells of each are in memory meanwhile.
const AT_ONCE: usize = 4;

/// What was said last of roll-outs.
pub(crate) struct Rolling {
    slots: Mutex<HashMap<Rollout, Arc<Slot<DeployReport>>>>,
    at_once: Semaphore,
}

impl Default for Rolling {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            at_once: Semaphore::new(AT_ONCE),
        }
    }
}

/// Service, id and start.
type Rollout = (String, String, u64);

impl Rolling {
    /// What the cells say by now, or said a moment ago.
    pub(crate) async fn report(
        &self,
        app: &Arc<App>,
        deploy: Deploy,
    ) -> Result<DeployReport, StoreError> {
        let clock = &app.options.clock;
        let keep_us = micros(app.options.keep_rolling);
        let slot = self.slot(&deploy);
        let judge = |deploy: Deploy| {
            let app = Arc::clone(app);
            async move {
                // It is never closed.
                let _one = app.rolling.at_once.acquire().await.ok();
                judge_now(&app, deploy, DeployStatus::Rolling).await
            }
        };
        let report = slot.get(deploy, || clock.now_us(), keep_us, judge).await?;
        Ok(with_detected(app, report))
    }

    fn slot(&self, deploy: &Deploy) -> Arc<Slot<DeployReport>> {
        let rollout = (deploy.service.clone(), deploy.id.clone(), deploy.started_us);
        let mut slots = lock(&self.slots);
        if slots.len() >= MOST && !slots.contains_key(&rollout) {
            slots.clear();
        }
        Arc::clone(slots.entry(rollout).or_default())
    }
}

/// Of one roll-out.
struct Slot<R> {
    kept: Mutex<Option<Kept<R>>>,
    /// Held by who judges it.
    judging: Arc<tokio::sync::Mutex<()>>,
}

/// A report, what was known of its roll-out, and when judging it was begun.
struct Kept<R> {
    deploy: Deploy,
    judged_us: u64,
    report: R,
}

/// What there is to tell.
enum Known<R> {
    New(R),
    /// It is time for the next one.
    Old(R),
    Nothing,
}

impl<R> Default for Slot<R> {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            judging: Arc::default(),
        }
    }
}

impl<R: Clone + Send + 'static> Slot<R> {
    async fn get<F>(
        self: &Arc<Self>,
        deploy: Deploy,
        now_us: impl Fn() -> u64,
        keep_us: u64,
        judge: impl Fn(Deploy) -> F,
    ) -> Result<R, StoreError>
    where
        F: Future<Output = Result<R, StoreError>> + Send + 'static,
    {
        let begin = |judging| {
            let judged = judge(deploy.clone());
            Arc::clone(self).keep(deploy.clone(), now_us(), judged, judging)
        };
        match self.known(&deploy, now_us(), keep_us) {
            Known::New(report) => return Ok(report),
            Known::Old(report) => {
                if let Ok(judging) = Arc::clone(&self.judging).try_lock_owned() {
                    let judged = begin(judging);
                    tokio::spawn(async {
                        if let Err(error) = judged.await {
                            tracing::warn!(%error, "could not judge a roll-out that goes on; will try again");
                        }
                    });
                }
                return Ok(report);
            }
            Known::Nothing => {}
        }
        let judging = Arc::clone(&self.judging).lock_owned().await;
        // Whoever waited for another's has it now.
        if let Known::New(report) | Known::Old(report) = self.known(&deploy, now_us(), keep_us) {
            return Ok(report);
        }
        // By a task of its own: if this client goes away, the next one need not wait from the start.
        let judged = tokio::spawn(question::awaited(begin(judging))).await;
        judged.map_err(|error| StoreError::Cut(error.to_string()))?
    }

    fn known(&self, deploy: &Deploy, now_us: u64, keep_us: u64) -> Known<R> {
        let kept = lock(&self.kept);
        let Some(kept) = kept.as_ref().filter(|kept| kept.deploy == *deploy) else {
            return Known::Nothing;
        };
        let age_us = now_us.saturating_sub(kept.judged_us);
        if age_us < keep_us {
            Known::New(kept.report.clone())
        } else if age_us < keep_us.saturating_mul(TOLD_TIMES) {
            Known::Old(kept.report.clone())
        } else {
            Known::Nothing
        }
    }

    /// Keeps what is judged.
    async fn keep(
        self: Arc<Self>,
        deploy: Deploy,
        judged_us: u64,
        judged: impl Future<Output = Result<R, StoreError>>,
        _judging: OwnedMutexGuard<()>,
    ) -> Result<R, StoreError> {
        let report = judged.await?;
        *lock(&self.kept) = Some(Kept {
            deploy,
            judged_us,
            report: report.clone(),
        });
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use serde_json::{Value, json};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::testing::{Bench, NOON, SECOND, batch, cell};

    async fn within_seconds<T>(done: impl Future<Output = T>) -> T {
        let done = tokio::time::timeout(Duration::from_secs(10), done).await;
        done.expect("it is done within seconds")
    }

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
        assert_eq!(headline(&bench).await, first, "it is judged meanwhile");
        within_seconds(async {
            while headline(&bench).await == first {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(headline(&bench).await, at(6));
        put(8).await;
        bench.at(at(15 + 30));
        assert_eq!(headline(&bench).await, at(9), "that was too long ago");
        put(11).await;
        let title = json!({"service": "photo", "id": "b", "started_us": at(1), "title": "faster"});
        assert_eq!(bench.post_deploy(title).await.status, 200);
        assert_eq!(headline(&bench).await, at(12), "more is known of it");
    }

    /// Counts how often it began to judge, and says that number when it may.
    struct Judge {
        begun: AtomicU64,
        may: Semaphore,
    }

    impl Judge {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                begun: AtomicU64::new(0),
                may: Semaphore::new(0),
            })
        }

        /// What a slot says at some second, where reports are new for 5 s.
        fn ask(
            self: &Arc<Self>,
            slot: &Arc<Slot<u64>>,
            second: u64,
        ) -> impl Future<Output = Result<u64, StoreError>> + Send + use<> {
            let (judge, slot) = (Arc::clone(self), Arc::clone(slot));
            async move {
                let judge = |_| {
                    let judge = Arc::clone(&judge);
                    async move {
                        let number = judge.begun.fetch_add(1, Ordering::Relaxed) + 1;
                        judge.may.acquire().await.unwrap().forget();
                        if number == 2 {
                            return Err(StoreError::Cut("the second always fails".into()));
                        }
                        Ok(number)
                    }
                };
                let now_us = || second * SECOND;
                let told = slot.get(Deploy::default(), now_us, 5 * SECOND, judge);
                within_seconds(told).await
            }
        }

        async fn has_begun(&self, number: u64) {
            within_seconds(async {
                while self.begun.load(Ordering::Relaxed) < number {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
    }

    #[tokio::test]
    async fn a_roll_out_is_judged_once_at_a_time() {
        let (judge, slot) = (Judge::new(), Arc::default());
        let first = tokio::spawn(judge.ask(&slot, 100));
        let second = tokio::spawn(judge.ask(&slot, 100));
        judge.has_begun(1).await;
        // Who asked first goes away: it is judged none the less.
        first.abort();
        judge.may.add_permits(1);
        assert_eq!(second.await.unwrap().unwrap(), 1);
        assert_eq!(judge.ask(&slot, 104).await.unwrap(), 1);
        assert_eq!(judge.begun.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn nobody_waits_for_the_next_report_of_a_roll_out() {
        let (judge, slot) = (Judge::new(), Arc::default());
        judge.may.add_permits(1);
        assert_eq!(judge.ask(&slot, 100).await.unwrap(), 1);
        // The second is begun, once, and fails; the first is told until there is a third.
        assert_eq!(judge.ask(&slot, 105).await.unwrap(), 1);
        assert_eq!(judge.ask(&slot, 106).await.unwrap(), 1);
        judge.has_begun(2).await;
        judge.may.add_permits(2);
        within_seconds(async {
            while judge.ask(&slot, 107).await.unwrap() == 1 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(judge.ask(&slot, 107).await.unwrap(), 3);
        // That was half a minute ago.
        judge.may.add_permits(1);
        assert_eq!(judge.ask(&slot, 107 + 30).await.unwrap(), 4);
    }
}
