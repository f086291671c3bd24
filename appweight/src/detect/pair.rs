use super::regression::Estimate;

/// Standard errors below which an alarm has lost its ground.
const DOUBTED_BELOW_Z: f64 = 2.0;
/// Ratios of two changes that may well be the same one.
pub(crate) const ABOUT_THE_SAME: std::ops::Range<f64> = 0.5..2.0;

/// Sums of jumps upwards and downwards.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Jumps {
    up: f64,
    down: f64,
}

impl Jumps {
    pub(crate) fn add(&mut self, jump: f64) {
        self.up += jump.max(0.0);
        self.down += jump.min(0.0);
    }

    pub(crate) fn sum(self) -> f64 {
        self.up + self.down
    }

    fn against(self, effect: f64) -> f64 {
        if effect > 0.0 { self.down } else { self.up }
    }
}

/// One (deploy, endpoint) under watch.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pair {
    pub(crate) estimate: Option<Estimate>,
    /// Standard errors at which it would be called now, and those that will do in the end.
    pub(crate) called_at: (f64, f64),
    /// Minute of the first alarm and the effect then.
    pub(crate) alarm: Option<(i64, f64)>,
    pub(crate) is_withdrawn: bool,
    /// Whether it went away before there was evidence enough to call it.
    pub(crate) is_held_back: bool,
    /// How far the level had moved when it was withdrawn.
    pub(crate) withdrawn_after: f64,
    /// The minute in which its deploy first served.
    pub(crate) since: i64,
    /// The minute in which the level was last seen to have stepped back.
    pub(crate) stepped_back: Option<i64>,
    /// The minute from which on all its hosts are warm.
    pub(crate) settled_at: i64,
    /// Jumps of the level that no deploy explains, in logs.
    pub(crate) jumps: Jumps,
    /// The same of those that all endpoints made together.
    pub(crate) common_jumps: Jumps,
    /// The last minute of which a line was written.
    pub(crate) told: Option<i64>,
    /// Whether cells without the change, and with it, were taken up.
    pub(crate) has_sides: [bool; 2],
}

impl Pair {
    /// Whether there is anything to compare: a level that nobody has seen is no side.
    pub(crate) fn has_both_sides(&self) -> bool {
        self.has_sides == [true; 2]
    }

    /// Whether there is enough evidence to call it at this look.
    pub(crate) fn is_sure(&self) -> bool {
        let estimate = self.estimate;
        estimate.is_some_and(|estimate| estimate.z().abs() >= self.called_at.0)
    }

    /// Whether an alarm has lost its ground.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.estimate.is_none_or(|estimate| {
            let turned = self
                .alarm
                .is_some_and(|(_, effect)| effect * estimate.effect < 0.0);
            turned || estimate.z().abs() < DOUBTED_BELOW_Z
        })
    }

    /// What it would be called with.
    pub(crate) fn called_effect(&self) -> Option<f64> {
        let due = self.estimate.filter(|_| self.is_sure());
        let called = self.alarm.map(|(_, effect)| effect);
        called.or(due.map(|estimate| estimate.effect))
    }

    /// By how much the level moved back without a deploy: since the alarm, or where there is none since its deploy first served. A jump
    /// that is like the change was let go before it was called, but the hosts that restart in these minutes may have it in them all the
    /// same. What all endpoints did together is this pair's matter only if `is_common`: if the deploy seems to have changed them all.
    pub(crate) fn moved(&self, is_common: bool) -> f64 {
        let moved = |jumps: Jumps| match (self.alarm, self.called_effect()) {
            (None, Some(effect)) => jumps.against(effect),
            _ => jumps.sum(),
        };
        moved(self.jumps)
            + if is_common {
                moved(self.common_jumps)
            } else {
                0.0
            }
    }

    /// Whether a jump is a matter of this pair that ends what `began` then: not if that was before its deploy first served, or when all
    /// its hosts were warm and it was not called yet, so that it was charged with neither.
    pub(crate) fn concerns(&self, began: i64) -> bool {
        let called = self.alarm.map_or(i64::MAX, |(minute, _)| minute);
        (self.since..=self.settled_at).contains(&began) || began >= called
    }

    /// Whether the level came back without a deploy: what looked like a change was a spike.
    pub(crate) fn went_away(&self, is_common: bool) -> bool {
        self.called_effect().is_some_and(|effect| {
            let share = -self.moved(is_common) / effect;
            ABOUT_THE_SAME.contains(&share)
        })
    }
}
