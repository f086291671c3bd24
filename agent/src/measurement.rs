//! One request or task while it runs: entered at the start of every poll, left at its end.

mod entered;
mod recorded;

use std::sync::Arc;

use appweight_wire::Kind;

pub(crate) use entered::{Entered, Guarded};
use recorded::Recorded;

use crate::children::Family;
use crate::clock::Now;
use crate::core::Core;
use crate::counters::More;
use crate::facts::Gathered;
use crate::profiled::Profiled;
use crate::scopes::ended::Of;
use crate::shard::{Ended, Tallied};
use crate::sys;
use crate::usage::Usage;

/// How it ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    pub(crate) status: Option<u16>,
    pub(crate) error: bool,
}

impl Outcome {
    /// Nothing was answered: the future was dropped before its end, or gave an error.
    pub(crate) const UNFINISHED: Self = Self {
        status: None,
        error: true,
    };
    /// A request whose handler panicked: whoever catches it answers so, if anything can be.
    const PANICKED: Self = Self {
        status: Some(500),
        error: true,
    };
    /// A task that came to its end.
    pub(crate) const DONE: Self = Self {
        status: None,
        error: false,
    };

    #[inline]
    pub(crate) fn of_status(status: http::StatusCode) -> Self {
        Self {
            status: Some(status.as_u16()),
            error: status.is_server_error(),
        }
    }
}

/// A request or task that runs. Whoever holds it finishes it, once.
///
/// It lies in one place, which [`Stock`](crate::stock::Stock) has, so that a pointer is all that moves with its future. While it is worked on
/// it is the thread's [`current`] one, and its holder has none.
#[derive(Debug)]
pub(crate) struct Measurement {
    core: &'static Core,
    usage: Usage,
    /// What was read when it was last entered.
    entered: Now,
    entered_more: Option<More>,
    /// When it was first entered and last left, by the monotonic clock, ns; 0 before that.
    begun_ns: u64,
    left_ns: u64,
    gathered: Option<Box<Gathered>>,
    record: Option<Box<Recorded>>,
    /// Of the one request in M that is profiled.
    profiled: Option<Box<Profiled>>,
    user: u64,
    /// Its endpoint's number.
    endpoint: u32,
    /// How many it stands for. One that stands for none passes uncounted: nothing is read for it, but that it ended is
    /// kept, so that numbers of requests, errors and users are exact however thinly costs are counted.
    weight: u32,
    kind: Kind,
    has_user: bool,
    /// Whether there is, or was, anything of what few have: facts gathered, a record, a profile.
    has_more: bool,
    is_to_be_recorded: bool,
    is_to_be_profiled: bool,
    /// A panic went through it.
    panicked: bool,
}

impl Measurement {
    #[inline]
    pub(crate) fn begin(
        core: &'static Core,
        kind: Kind,
        name: &str,
        method: Option<&http::Method>,
        user: Option<u64>,
    ) -> Box<Self> {
        let mut measurement = core.begin(name, |begun| {
            let mut measurement = Self::at(begun.place, core, kind, begun.endpoint);
            measurement.user = user.unwrap_or(0);
            measurement.has_user = user.is_some();
            match begun.chosen {
                None => measurement.weight = 0,
                Some(chosen) => {
                    measurement.weight = chosen.weight;
                    measurement.is_to_be_recorded = chosen.is_recorded;
                    measurement.has_more = chosen.is_recorded || chosen.is_profiled;
                    measurement.is_to_be_profiled = chosen.is_profiled;
                }
            }
            measurement
        });
        if measurement.has_more {
            measurement.look_closely(method);
        }
        measurement
    }

    #[cold]
    fn look_closely(&mut self, method: Option<&http::Method>) {
        if self.is_to_be_recorded {
            self.record = Some(Recorded::new(self.core, method));
        }
        if self.is_to_be_profiled {
            self.profiled = Some(Profiled::begin(self.core));
        }
    }

    /// What a child uses and tells, to be added to its request's.
    pub(crate) fn of_child(core: &'static Core, family: Arc<Family>) -> Box<Self> {
        let (kind, endpoint) = family.whose();
        let mut child = Self::at(core.place(), core, kind, endpoint);
        child.has_more = true;
        child.profiled = Profiled::of_child(core);
        child.gathered = Some(Gathered::of_child(family));
        child
    }

    #[inline]
    fn at(place: Option<Box<Self>>, core: &'static Core, kind: Kind, endpoint: u32) -> Box<Self> {
        let Some(mut place) = place else {
            return Self::in_new_place(core, kind, endpoint);
        };
        // What else is in it was taken out at its end.
        place.core = core;
        place.usage = Usage::new();
        place.entered_more = None;
        place.begun_ns = 0;
        place.left_ns = 0;
        place.endpoint = endpoint;
        place.weight = 1;
        place.kind = kind;
        place.has_user = false;
        place.has_more = false;
        place.is_to_be_recorded = false;
        place.is_to_be_profiled = false;
        place.panicked = false;
        place
    }

    #[cold]
    fn in_new_place(core: &'static Core, kind: Kind, endpoint: u32) -> Box<Self> {
        Box::new(Self {
            core,
            usage: Usage::new(),
            entered: Now::NONE,
            entered_more: None,
            begun_ns: 0,
            left_ns: 0,
            gathered: None,
            record: None,
            profiled: None,
            user: 0,
            endpoint,
            weight: 1,
            kind,
            has_user: false,
            has_more: false,
            is_to_be_recorded: false,
            is_to_be_profiled: false,
            panicked: false,
        })
    }

    /// Nobody needs it any more.
    #[cold]
    fn give_back(mut self: Box<Self>) {
        self.empty();
        self.core.give_back(self);
    }

    #[cold]
    fn empty(&mut self) {
        self.gathered = None;
        self.record = None;
        self.profiled = None;
    }

    pub(crate) fn core(&self) -> &'static Core {
        self.core
    }

    /// Its kind and its endpoint's number.
    pub(crate) fn whose(&self) -> (Kind, u32) {
        (self.kind, self.endpoint)
    }

    /// What was told.
    pub(crate) fn gathered(&mut self) -> &mut Gathered {
        self.has_more = true;
        self.gathered.get_or_insert_default()
    }

    /// Cells do not hold downstreams: they are gathered only for what is recorded. A child does not know whether its
    /// request is.
    pub(crate) fn with_downstream(&self) -> bool {
        self.record.is_some() || self.has_family()
    }

    fn has_family(&self) -> bool {
        let gathered = self.gathered.as_ref();
        gathered.is_some_and(|gathered| gathered.family.is_some())
    }

    /// It lasts until now, though its last poll was before.
    pub(crate) fn lasts(&mut self) {
        self.left_ns = self.core.counters().wall_ns();
    }

    /// Counts what came to no end of its own: it panicked or was cancelled.
    pub(crate) fn give_up(mut self: Box<Self>) {
        let outcome = match self.kind {
            Kind::Request if self.panicked => Outcome::PANICKED,
            Kind::Request | Kind::Task => Outcome::UNFINISHED,
        };
        if self.begun_ns == 0 {
            // Its service did not live to see it begin.
            self.lasts();
            self.begun_ns = self.left_ns;
        }
        self.finish(outcome);
    }

    /// Counts it, and records it if it was chosen; where it has children that still run, the last of them does. Not after
    /// the shutdown, as nobody would ever fetch it, nor in a forked process, where the names' lock may be held by a thread
    /// that is not there any more.
    #[inline]
    pub(crate) fn finish(mut self: Box<Self>, outcome: Outcome) {
        if self.has_more
            && let Some(family) = self.take_family()
        {
            family.leave(Finished {
                measurement: self,
                outcome,
            });
            return;
        }
        if self.weight == 0 {
            self.pass(outcome);
        } else if !self.core.is_inherited() {
            let core = self.core;
            if self.has_more {
                let mut ended = self.ended(outcome, false);
                self.add_more(&mut ended, outcome);
                self.empty();
                core.end(self, |_, room| *room = ended);
            } else {
                core.end(self, |ended, room| ended.tell(room, outcome, false));
            }
            return;
        }
        self.give_back();
    }

    #[cold]
    fn pass(&self, outcome: Outcome) {
        self.core.pass(Tallied {
            kind: self.kind,
            endpoint: self.endpoint,
            end_us: self.core.micros_at(sys::monotonic_ns()),
            error: outcome.error,
            user: self.user(),
        });
    }

    #[inline]
    fn user(&self) -> Option<u64> {
        self.has_user.then_some(self.user)
    }

    /// Counts what a response that is still being sent has used until now, if the cell that it was last worked on in
    /// is over; the rest is counted as a request of its own.
    pub(crate) fn count_what_is_over(&mut self, outcome: Outcome) {
        let core = self.core;
        let width_us = core.spans().cell_us;
        let span = |moment_ns| core.micros_at(moment_ns) / width_us;
        if self.begun_ns == 0 || span(self.left_ns) == span(core.counters().wall_ns()) {
            return;
        }
        if core.is_on() {
            self.count(outcome, true);
        }
        self.usage = Usage::new();
        self.begun_ns = self.left_ns;
        if let Some(gathered) = &mut self.gathered {
            gathered.downstream.clear();
        }
        if let Some(record) = &mut self.record {
            record.begin_anew(core);
        }
    }

    fn take_family(&mut self) -> Option<Arc<Family>> {
        self.gathered.as_mut()?.family.take()
    }

    fn ended(&self, outcome: Outcome, unfinished: bool) -> Ended {
        let mut ended = Ended::default();
        self.tell(&mut ended, outcome, unfinished);
        ended
    }

    /// Writes what it was into room that has no flags, field by field: see [`Usage::copy_to`].
    #[inline]
    fn tell(&self, ended: &mut Ended, outcome: Outcome, unfinished: bool) {
        let core = self.core;
        ended.kind = self.kind;
        ended.endpoint = self.endpoint;
        ended.weight = self.weight;
        ended.end_us = core.micros_at(self.left_ns);
        ended.wall_ns = self.left_ns.saturating_sub(self.begun_ns);
        self.usage.copy_to(&mut ended.usage);
        ended.status = outcome.status;
        ended.error = outcome.error;
        ended.unfinished = unfinished;
        ended.is_recorded = false;
        ended.age = core.age_at(self.begun_ns);
        ended.user = self.user();
    }

    /// Counts what it has used until now; the agent is on.
    #[cold]
    fn count(&mut self, outcome: Outcome, unfinished: bool) {
        let mut ended = self.ended(outcome, unfinished);
        if self.has_more {
            self.add_more(&mut ended, outcome);
        }
        self.core.count(ended);
    }

    /// Adds what is there of few only: flags, a record, a profile.
    #[cold]
    fn add_more(&mut self, ended: &mut Ended, outcome: Outcome) {
        let core = self.core;
        if let Some(recorded) = &self.record {
            let start_us = core.micros_at(self.begun_ns);
            let gathered = self.gathered.as_deref();
            core.keep_record(recorded.record(core, start_us, ended, outcome, gathered));
            ended.is_recorded = true;
        }
        if let Some(gathered) = &mut self.gathered {
            ended.flags = match ended.unfinished {
                true => gathered.flags.clone(),
                false => std::mem::take(&mut gathered.flags),
            };
        }
        if ended.unfinished {
            // It is profiled as a whole.
            return;
        }
        let of = Of {
            end_us: ended.end_us,
            kind: ended.kind,
            endpoint: ended.endpoint,
            age: ended.age,
        };
        if let Some(profile) = self.profiled.take().and_then(|profiled| profiled.end(of)) {
            core.keep_profile(profile);
        }
    }
}

/// A request or task that has ended, not counted yet.
#[derive(Debug)]
pub(crate) struct Finished {
    measurement: Box<Measurement>,
    outcome: Outcome,
}

/// What children used and told.
#[derive(Debug)]
pub(crate) struct Share {
    usage: Usage,
    gathered: Option<Box<Gathered>>,
    profiles: Vec<Profiled>,
}

impl Share {
    pub(crate) const NONE: Self = Self {
        usage: Usage::new(),
        gathered: None,
        profiles: Vec::new(),
    };

    /// Adds a child's that has ended.
    pub(crate) fn add(&mut self, mut child: Box<Measurement>) {
        self.usage.join(child.usage);
        Gathered::join(&mut self.gathered, child.gathered.take());
        self.profiles
            .extend(child.profiled.take().map(|profiled| *profiled));
        child.give_back();
    }
}

impl Finished {
    /// Counts it with what its children did.
    pub(crate) fn count(self, share: Share) {
        let Self {
            mut measurement,
            outcome,
        } = self;
        measurement.usage.join(share.usage);
        measurement.has_more = true;
        Gathered::join(&mut measurement.gathered, share.gathered);
        if let Some(profiled) = &mut measurement.profiled {
            for child in &share.profiles {
                profiled.join(child);
            }
        }
        if measurement.core.is_on() {
            measurement.count(outcome, false);
        }
        measurement.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;
    use crate::hooks::Hooks;
    use crate::settings::Settings;

    #[test]
    fn one_that_begins_where_another_ended_has_nothing_of_it() {
        let mut settings = Settings::default();
        settings.record_one_in = 1;
        let core = Core::new(settings, Arc::new(Hooks::default()), Counters::probe());
        let mut first = Measurement::begin(core, Kind::Task, "task:first", None, Some(7));
        let flag = appweight_wire::Flag {
            name: "ranker".to_owned(),
            value: "v2".to_owned(),
        };
        first.gathered().flags.push(flag);
        first.panicked = true;
        let mut first = Some(first);
        drop(Entered::poll(&mut first));
        let first = first.unwrap();
        assert!(first.begun_ns > 0 && first.record.is_some());
        let place = std::ptr::from_ref(&*first);
        first.finish(Outcome::DONE);
        let second = Measurement::at(core.place(), core, Kind::Request, 3);
        assert_eq!(std::ptr::from_ref(&*second), place);
        let fresh = Measurement::in_new_place(core, Kind::Request, 3);
        let told = |mut measurement: Box<Measurement>| {
            // Without meaning while there is none, and until it is entered.
            measurement.user = 0;
            measurement.entered = Now::NONE;
            format!("{measurement:?}")
        };
        assert!(told(second) == told(fresh), "they differ");
    }
}
