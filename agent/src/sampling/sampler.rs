use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::event::{Event, Pace};
use super::record::Record;
use super::refusal::Refusal;
use super::stacks::Stacks;
use crate::fork;
use crate::sys;

/// Takes the samples of one thread, and gives them to the requests that it polls.
#[derive(Debug)]
pub(super) struct Sampler {
    inside: Mutex<Inside>,
    tally: Arc<Tally>,
    generation: u64,
}

#[derive(Debug)]
struct Inside {
    /// Absent once the agent has ended.
    event: Option<Event>,
    /// What is being polled; a task within a request is the request's as well.
    polled: Vec<Polled>,
}

#[derive(Debug)]
struct Polled {
    /// By the monotonic clock, ns.
    since_ns: u64,
    stacks: Box<Stacks>,
}

/// What became of samples, in all threads.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) samples: AtomicU64,
    /// Taken by the kernel, for which no room was left.
    pub(super) lost: AtomicU64,
    /// That no request was being polled for.
    pub(super) given_to_none: AtomicU64,
    /// Times that the kernel held back.
    pub(super) throttled: AtomicU64,
    /// That were sampled, have ended and were looked at.
    pub(super) requests: AtomicU64,
    pub(super) polls: AtomicU64,
    pub(super) unsampled_polls: AtomicU64,
}

impl Sampler {
    /// One of the calling thread.
    pub(super) fn open(pace: Pace, tally: Arc<Tally>) -> Result<Self, Refusal> {
        Ok(Self {
            inside: Mutex::new(Inside {
                event: Some(Event::open(pace)?),
                polled: Vec::new(),
            }),
            tally,
            generation: fork::generation(),
        })
    }

    /// Samples are that request's until it is left. Gives it back in a forked child, which is not sampled.
    pub(super) fn enter(&self, stacks: Box<Stacks>) -> Result<(), Box<Stacks>> {
        if !self.is_here() {
            return Err(stacks);
        }
        let mut inside = self.lock();
        inside.drain(&self.tally);
        inside.polled.push(Polled {
            since_ns: sys::monotonic_ns(),
            stacks,
        });
        if inside.polled.len() == 1 && !inside.switch_on() {
            inside.polled[0].stacks.unsampled_polls += 1;
        }
        Ok(())
    }

    /// Gives the request back that was entered last; none in a child that was forked meanwhile, whose parent has it.
    pub(super) fn leave(&self) -> Option<Box<Stacks>> {
        if !self.is_here() {
            return None;
        }
        let mut inside = self.lock();
        if inside.polled.len() == 1 {
            inside.switch_off();
        }
        inside.drain(&self.tally);
        Some(inside.polled.pop()?.stacks)
    }

    /// Makes room; for a thread whose polls take long.
    pub(super) fn drain(&self) {
        self.lock().drain(&self.tally);
    }

    /// Gives the descriptor and the memory back, whatever thread keeps this.
    pub(super) fn close(&self) {
        let mut inside = self.lock();
        inside.drain(&self.tally);
        inside.event = None;
    }

    /// Whether it samples nothing any more, in this process.
    pub(super) fn is_over(&self) -> bool {
        !self.is_here() || self.lock().event.is_none()
    }

    pub(super) fn descriptor(&self) -> Option<std::os::fd::RawFd> {
        self.lock().event.as_ref().map(Event::descriptor)
    }

    /// A forked child has the descriptor of an event that goes on sampling its parent, and a lock that nobody may be left to let
    /// go.
    fn is_here(&self) -> bool {
        fork::generation() == self.generation
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn switch_on(&mut self) -> bool {
        let event = self.event.as_mut();
        event.is_some_and(|event| event.switch_on().is_ok())
    }

    fn switch_off(&mut self) {
        if let Some(event) = &mut self.event {
            // An error would leave it on, and its samples would be given to none.
            let _ = event.switch_off();
        }
    }

    fn drain(&mut self, tally: &Tally) {
        let polled = &mut self.polled;
        let Some(event) = &mut self.event else { return };
        event.drain(|record| match record {
            Record::Sample(sample) => {
                let mut is_given = false;
                for polled in polled.iter_mut() {
                    if sample.at_ns >= polled.since_ns {
                        polled.stacks.add(sample.addresses());
                        is_given = true;
                    }
                }
                add(&tally.samples, 1);
                add(&tally.given_to_none, u64::from(!is_given));
            }
            Record::Lost(lost) => {
                add(&tally.lost, lost);
                for polled in polled.iter_mut() {
                    polled.stacks.lost += lost;
                }
            }
            Record::Throttled => add(&tally.throttled, 1),
        });
    }
}

fn add(sum: &AtomicU64, more: u64) {
    sum.fetch_add(more, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::counters::holds_in_a_child;

    #[test]
    fn a_child_that_is_forked_in_a_poll_waits_for_no_lock_of_its_parent() {
        fork::watch();
        let sampler = Arc::new(Sampler {
            inside: Mutex::new(Inside {
                event: None,
                polled: Vec::new(),
            }),
            tally: Arc::default(),
            generation: fork::generation(),
        });
        assert!(sampler.enter(Box::default()).is_ok());
        // As by the thread that makes room, which is not there in the child.
        let held = sampler.lock();
        assert!(holds_in_a_child(|| {
            let (left, has_left) = mpsc::channel();
            let sampler = Arc::clone(&sampler);
            thread::spawn(move || {
                let is_refused = sampler.enter(Box::default()).is_err();
                left.send(sampler.leave().is_none() && is_refused)
            });
            has_left.recv_timeout(Duration::from_secs(5)) == Ok(true)
        }));
        drop(held);
        assert!(sampler.leave().is_some());
    }
}
