//! What the roll-outs of a service become when one is seen in a record or posted by the CI.
//!
//! Without SQL, so that every store does the same.

use appweight_wire::Deploy;

use super::PostedDeploy;

/// A roll-out that was seen in a record and one that is posted with a start so near to it are one:
/// cells begin before their first request, and the CI's post may come late.
const SAME_ROLLOUT_US: u64 = 5 * 60 * 1_000_000;

/// A roll-out as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rollout {
    /// The store's key; `None` if it is new.
    pub(super) row: Option<i64>,
    /// What is said of it.
    pub(super) deploy: Deploy,
    /// The start that the CI gave, by which it names the roll-out again; the cells' may be earlier.
    pub(super) posted_us: Option<u64>,
    /// Whether it was only seen in a record.
    pub(super) discovered: bool,
    /// Whether what it replaced was said, not worked out.
    pub(super) replaced_given: bool,
    /// Whether its report is final.
    pub(super) judged: bool,
    /// Whether it has to be written back.
    pub(super) changed: bool,
}

impl Rollout {
    fn starts_at(&self, started_us: u64) -> bool {
        self.deploy.started_us == started_us || self.posted_us == Some(started_us)
    }
}

/// All roll-outs of one service by rising start.
#[derive(Debug, Default)]
pub(super) struct Rollouts(Vec<Rollout>);

impl Rollouts {
    pub(super) fn new(mut rollouts: Vec<Rollout>) -> Self {
        rollouts.sort_by_key(|rollout| rollout.deploy.started_us);
        Self(rollouts)
    }

    /// Those that have to be written back.
    pub(super) fn changed(&self) -> impl Iterator<Item = &Rollout> {
        self.0.iter().filter(|rollout| rollout.changed)
    }

    /// A record that began at `first_us` came from a process that runs `id`.
    pub(super) fn see(&mut self, service: &str, id: &str, first_us: u64) {
        let mut known = (0..self.0.len()).filter(|&at| self.0[at].deploy.id == id);
        let Some(at) = known.next() else {
            let deploy = Deploy {
                service: service.to_owned(),
                id: id.to_owned(),
                started_us: first_us,
                ..Deploy::default()
            };
            self.insert(deploy, true);
            return;
        };
        let only = known.next().is_none();
        let follows = at == 0 || self.0[at - 1].deploy.started_us < first_us;
        let rollout = &mut self.0[at];
        if only
            && follows
            && rollout.discovered
            && !rollout.judged
            && first_us < rollout.deploy.started_us
        {
            rollout.deploy.started_us = first_us;
            rollout.changed = true;
        }
    }

    /// From which start on a record of a process that runs `id` makes no difference, nor ever will: what is said of
    /// others meanwhile may make a difference of earlier ones that made none.
    #[cfg(feature = "clickhouse")]
    pub(super) fn settled_from(&self, id: &str) -> u64 {
        let mut known = self.0.iter().filter(|rollout| rollout.deploy.id == id);
        match (known.next(), known.next()) {
            (None, _) => u64::MAX,
            (Some(only), None) if only.discovered && !only.judged => only.deploy.started_us,
            _ => 0,
        }
    }

    /// The CI says that a roll-out began or ended, or describes it.
    pub(super) fn post(&mut self, mut posted: Deploy, now_us: u64) -> PostedDeploy {
        let without_start = posted.started_us == 0;
        let known = if without_start && posted.ended_us.is_some() {
            let Some(at) = self
                .newest(|rollout| {
                    rollout.deploy.id == posted.id && rollout.deploy.ended_us.is_none()
                })
                .or_else(|| self.newest(|rollout| rollout.deploy.id == posted.id))
            else {
                return PostedDeploy::NothingToEnd;
            };
            Some(at)
        } else if without_start {
            posted.started_us = now_us;
            // Sent again because the answer was lost: what rolls already cannot begin.
            let rolls = self
                .0
                .last()
                .is_some_and(|last| last.deploy.id == posted.id && last.deploy.ended_us.is_none());
            rolls
                .then(|| self.0.len() - 1)
                .or_else(|| self.near(&posted))
        } else {
            self.newest(|rollout| {
                rollout.deploy.id == posted.id && rollout.starts_at(posted.started_us)
            })
            .or_else(|| self.near(&posted))
        };
        match known {
            Some(at) => PostedDeploy::Updated(self.update(at, posted)),
            None => PostedDeploy::Created(self.insert(posted, false)),
        }
    }

    fn near(&self, posted: &Deploy) -> Option<usize> {
        self.newest(|rollout| {
            rollout.deploy.id == posted.id
                && rollout.discovered
                && !rollout.judged
                && rollout.deploy.started_us.abs_diff(posted.started_us) <= SAME_ROLLOUT_US
        })
    }

    fn newest(&self, is: impl Fn(&Rollout) -> bool) -> Option<usize> {
        self.0.iter().rposition(is)
    }

    fn update(&mut self, at: usize, posted: Deploy) -> Deploy {
        let rollout = &mut self.0[at];
        let deploy = &mut rollout.deploy;
        if posted.started_us > 0 && rollout.discovered {
            rollout.posted_us = Some(posted.started_us);
            if !rollout.judged {
                deploy.started_us = deploy.started_us.min(posted.started_us);
            }
        }
        if let Some(ended_us) = posted.ended_us
            && !rollout.judged
        {
            deploy.ended_us = Some(ended_us.max(deploy.started_us));
        }
        if posted.replaced.is_some() && !rollout.judged {
            deploy.replaced = posted.replaced;
            rollout.replaced_given = true;
        }
        deploy.author = posted.author.or(deploy.author.take());
        deploy.title = posted.title.or(deploy.title.take());
        deploy.link = posted.link.or(deploy.link.take());
        rollout.discovered = false;
        rollout.changed = true;
        let deploy = rollout.deploy.clone();
        self.0.sort_by_key(|rollout| rollout.deploy.started_us);
        deploy
    }

    fn insert(&mut self, mut deploy: Deploy, discovered: bool) -> Deploy {
        let at = self
            .0
            .partition_point(|rollout| rollout.deploy.started_us <= deploy.started_us);
        let replaced_given = deploy.replaced.is_some();
        for earlier in self.0[..at]
            .iter_mut()
            .filter(|rollout| rollout.deploy.ended_us.is_none())
        {
            earlier.deploy.ended_us = Some(deploy.started_us);
            earlier.changed = true;
        }
        if !replaced_given {
            // The same id shipped twice running is a restart; it is still compared with other code.
            let before = self.0[..at]
                .iter()
                .rev()
                .find(|rollout| rollout.deploy.id != deploy.id);
            deploy.replaced = before.map(|rollout| rollout.deploy.id.clone());
        }
        if let Some(next) = self.0.get_mut(at) {
            deploy.ended_us = deploy.ended_us.or(Some(next.deploy.started_us));
            if !next.replaced_given && !next.judged && next.deploy.id != deploy.id {
                next.deploy.replaced = Some(deploy.id.clone());
                next.changed = true;
            }
        }
        self.0.insert(
            at,
            Rollout {
                row: None,
                posted_us: (!discovered).then_some(deploy.started_us),
                deploy: deploy.clone(),
                discovered,
                replaced_given,
                judged: false,
                changed: true,
            },
        );
        deploy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000;

    fn deploy(id: &str, started_us: u64) -> Deploy {
        Deploy {
            service: "photo".into(),
            id: id.into(),
            started_us,
            ..Deploy::default()
        }
    }

    fn ids(rollouts: &Rollouts) -> Vec<(&str, u64, Option<u64>, Option<&str>)> {
        rollouts
            .0
            .iter()
            .map(|rollout| {
                let deploy = &rollout.deploy;
                (
                    deploy.id.as_str(),
                    deploy.started_us,
                    deploy.ended_us,
                    deploy.replaced.as_deref(),
                )
            })
            .collect()
    }

    #[test]
    fn a_new_roll_out_ends_the_one_before_and_replaces_it() {
        let mut rollouts = Rollouts::default();
        assert!(matches!(
            rollouts.post(deploy("a", 10), 99),
            PostedDeploy::Created(_)
        ));
        rollouts.see("photo", "b", 20);
        rollouts.see("photo", "b", 30);
        assert_eq!(
            ids(&rollouts),
            [("a", 10, Some(20), None), ("b", 20, None, Some("a"))]
        );
    }

    #[test]
    fn a_late_record_puts_its_roll_out_where_it_belongs() {
        let mut rollouts = Rollouts::default();
        rollouts.see("photo", "b", 20);
        rollouts.see("photo", "a", 10);
        rollouts.see("photo", "a", 5);
        assert_eq!(
            ids(&rollouts),
            [("a", 5, Some(20), None), ("b", 20, None, Some("a"))]
        );
    }

    #[test]
    fn what_was_seen_and_what_is_posted_soon_after_is_one_roll_out() {
        for posted_us in [9 * MINUTE, 12 * MINUTE] {
            let mut rollouts = Rollouts::default();
            rollouts.see("photo", "a", 10 * MINUTE);
            let mut posted = deploy("a", posted_us);
            posted.title = Some("Faster feed".into());
            let PostedDeploy::Updated(stored) = rollouts.post(posted, 0) else {
                panic!("a second roll-out was made");
            };
            assert_eq!(stored.started_us, posted_us.min(10 * MINUTE));
            assert_eq!(stored.title.as_deref(), Some("Faster feed"));
            let mut end = deploy("a", posted_us);
            end.ended_us = Some(15 * MINUTE);
            rollouts.post(end, 0);
            assert_eq!(rollouts.0.len(), 1);
            assert_eq!(rollouts.0[0].deploy.ended_us, Some(15 * MINUTE));
        }
    }

    #[test]
    fn a_judged_roll_out_is_not_merged_with_a_later_one_of_its_id() {
        let mut rollouts = Rollouts::default();
        rollouts.see("photo", "a", 10 * MINUTE);
        rollouts.0[0].judged = true;
        assert!(matches!(
            rollouts.post(deploy("a", 11 * MINUTE), 0),
            PostedDeploy::Created(_)
        ));
        assert_eq!(rollouts.0.len(), 2);
    }

    #[test]
    fn an_end_without_a_start_ends_the_newest_that_rolls() {
        let mut rollouts = Rollouts::default();
        let mut end = deploy("a", 0);
        end.ended_us = Some(50);
        assert_eq!(rollouts.post(end.clone(), 60), PostedDeploy::NothingToEnd);
        rollouts.post(deploy("a", 10), 0);
        rollouts.post(deploy("b", 20), 0);
        rollouts.post(deploy("a", 40), 0);
        rollouts.post(end, 60);
        assert_eq!(
            ids(&rollouts),
            [
                ("a", 10, Some(20), None),
                ("b", 20, Some(40), Some("a")),
                ("a", 40, Some(50), Some("b"))
            ]
        );
    }

    #[test]
    fn a_start_sent_twice_is_one_roll_out() {
        let mut rollouts = Rollouts::default();
        assert!(matches!(
            rollouts.post(deploy("a", 0), 10),
            PostedDeploy::Created(_)
        ));
        assert!(matches!(
            rollouts.post(deploy("a", 0), 11),
            PostedDeploy::Updated(_)
        ));
        assert_eq!(ids(&rollouts), [("a", 10, None, None)]);
    }
}
