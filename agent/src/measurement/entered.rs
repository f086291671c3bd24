use super::Measurement;
use crate::current;
use crate::outside;
use crate::profiled::{Outer, Profiled};

/// A stretch of work on this thread that is charged to its measurement, until it is dropped: also by a panic.
pub(crate) struct Entered<'a> {
    /// Where the measurement lies otherwise.
    place: &'a mut Option<Box<Measurement>>,
    outer: Option<Box<Measurement>>,
    outer_profile: Outer,
}

impl<'a> Entered<'a> {
    /// `None` if there is no measurement, or nothing is read for it.
    #[inline]
    pub(crate) fn new(place: &'a mut Option<Box<Measurement>>) -> Option<Self> {
        let measurement = place.as_deref_mut()?;
        if measurement.weight == 0 {
            return None;
        }
        let counters = measurement.core.counters();
        measurement.entered = counters.now();
        if counters.count_more() {
            measurement.entered_more = Some(counters.read_more());
        }
        if measurement.begun_ns == 0 {
            measurement.begun_ns = measurement.entered.wall_ns;
        }
        let outer_profile = Profiled::enter(&mut measurement.profiled);
        let outer = current::swap(place.take());
        Some(Self {
            place,
            outer,
            outer_profile,
        })
    }

    /// The same, counted as a poll.
    #[inline]
    pub(crate) fn poll(place: &'a mut Option<Box<Measurement>>) -> Option<Self> {
        if let Some(measurement) = place
            && measurement.has_more
            && let Some(recorded) = &mut measurement.record
        {
            recorded.poll();
        }
        Self::new(place)
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        let is_outermost = self.outer.is_none();
        let Some(mut measurement) = current::swap(self.outer.take()) else {
            return;
        };
        Profiled::leave(&mut measurement.profiled, self.outer_profile.take());
        let counters = measurement.core.counters();
        let (before, after) = (measurement.entered, counters.now());
        match measurement.entered_more.take() {
            Some(before) => measurement.usage.add_more(&before, &counters.read_more()),
            None => measurement.usage.add_no_more(),
        }
        measurement.usage.add(before, after);
        if is_outermost {
            outside::leave(before.cpu_ns(), after.cpu_ns());
        }
        measurement.left_ns = after.wall_ns;
        measurement.panicked |= std::thread::panicking();
        *self.place = Some(measurement);
    }
}

/// Counts what it holds as unfinished if a panic drops it.
pub(crate) struct Guarded(Option<Box<Measurement>>);

impl Guarded {
    #[inline]
    pub(crate) fn new(measurement: Box<Measurement>) -> Self {
        Self(Some(measurement))
    }

    /// What is done until the guard is dropped is charged to it.
    #[inline]
    pub(crate) fn enter(&mut self) -> Option<Entered<'_>> {
        Entered::new(&mut self.0)
    }

    /// Takes it out: from here on somebody else finishes it.
    #[inline]
    pub(crate) fn release(mut self) -> Option<Box<Measurement>> {
        self.0.take()
    }
}

impl Drop for Guarded {
    #[inline]
    fn drop(&mut self) {
        if let Some(measurement) = self.0.take() {
            measurement.give_up();
        }
    }
}
