//! Which tree the calling thread records into, and the scopes of its code.

#![expect(
    unsafe_code,
    reason = "a scope by CPU time alone works on the tree where it lies: taking it out and putting it back is a part of what it costs"
)]

use std::cell::Cell;
use std::hint::cold_path;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;

use super::site::Site;
use super::tree::{Place, Stay, Tree};
use crate::clock::{CpuClock, TicksHere};

/// What a thread records into. In one place, so that a scope finds it at once.
struct Here {
    // Apart from the tree, so that a scope of a request that is not profiled is a load and a branch.
    records: Cell<bool>,
    // Never dropped, so that no scope asks whether it has been: a thread does not end in the middle of a poll.
    tree: Cell<ManuallyDrop<Option<Box<Tree>>>>,
    /// What is read for the tree, if that is the thread's CPU time and nothing else.
    ticks: Cell<Option<TicksHere>>,
}

thread_local! {
    static HERE: Here = const {
        Here {
            records: Cell::new(false),
            tree: Cell::new(ManuallyDrop::new(None)),
            ticks: Cell::new(None),
        }
    };
}

/// Whether the calling thread runs a part of a profiled request now.
#[inline]
pub(crate) fn records() -> bool {
    HERE.with(|here| here.records.get())
}

/// Makes this the tree that the calling thread records into, and gives back the one that was.
pub(crate) fn swap(tree: Option<Box<Tree>>) -> Option<Box<Tree>> {
    HERE.with(|here| {
        here.records.set(tree.is_some());
        let clock = tree.as_deref().and_then(Tree::cpu_time_alone);
        here.ticks.set(clock.and_then(CpuClock::ticks_here));
        ManuallyDrop::into_inner(here.tree.replace(ManuallyDrop::new(tree)))
    })
}

/// Works on the current tree. It is taken out meanwhile, so that timers of the service which are themselves scopes are
/// not recorded.
#[inline]
pub(crate) fn with<T>(work: impl FnOnce(&mut Tree) -> T) -> Option<T> {
    HERE.with(|here| {
        let tree = here.tree.replace(ManuallyDrop::new(None));
        let mut tree = ManuallyDrop::into_inner(tree)?;
        let done = work(&mut tree);
        here.tree.set(ManuallyDrop::new(Some(tree)));
        Some(done)
    })
}

/// Works on the current tree where it lies, at the thread's CPU time, where that is the only timer and ticks tell it.
#[inline(always)]
fn at_cpu_time<T>(work: impl FnOnce(&mut Tree, u64) -> Option<T>) -> Option<T> {
    // Not the work itself, which would be a call where it is not inlined.
    let here = HERE.with(std::ptr::from_ref);
    // SAFETY: made without a call and never dropped, it is there while its thread runs; all that changes in it are cells.
    let here = unsafe { &*here };
    let now = here.ticks.get()?.cpu_ns()?;
    // SAFETY: the tree belongs to this thread and is reached through this cell alone. `work` is one of the two below, which
    // call nothing that could reach it.
    let tree = unsafe { &mut *here.tree.as_ptr() };
    work(tree.as_deref_mut()?, now)
}

/// A scope of the code that runs, until it is dropped: also by a panic. Made by [`scope!`](crate::scope) and
/// [`profiled`](crate::profiled).
///
/// It belongs to the request that its thread worked on when it was made, and ends with the scope around it at the latest.
/// It stays on its thread, so that a future that holds one over an `await` cannot be spawned: give the future itself to
/// [`scope!`](crate::scope) instead.
#[must_use = "a scope lasts until this is dropped"]
#[derive(Debug)]
pub struct Scope {
    stay: Option<Stay>,
    stays_here: PhantomData<*const ()>,
}

impl Scope {
    /// Begins a scope, if the calling thread works on a profiled request.
    #[inline]
    pub fn enter(site: &'static Site) -> Self {
        Self {
            stay: if records() {
                cold_path();
                enter(site)
            } else {
                None
            },
            stays_here: PhantomData,
        }
    }
}

impl Drop for Scope {
    #[inline]
    fn drop(&mut self) {
        if let Some(stay) = self.stay {
            cold_path();
            leave(stay);
        }
    }
}

// Two steps each, so that the first needs no room on the stack.
#[inline(never)]
fn enter(site: &'static Site) -> Option<Stay> {
    if let Some(stay) = at_cpu_time(|tree, now| tree.enter_known(site, now)) {
        return Some(stay);
    }
    enter_by_any_timers(site)
}

#[cold]
#[inline(never)]
fn enter_by_any_timers(site: &'static Site) -> Option<Stay> {
    with(|tree| tree.enter(site)).flatten()
}

#[inline(never)]
fn leave(stay: Stay) {
    if at_cpu_time(|tree, now| tree.leave_known(stay, now)).is_none() {
        leave_by_any_timers(stay);
    }
}

#[cold]
#[inline(never)]
fn leave_by_any_timers(stay: Stay) {
    with(|tree| tree.leave(stay));
}

/// A poll of an async function's scope.
#[derive(Debug)]
pub(super) struct Polled<'a> {
    stay: Option<Stay>,
    place: &'a mut Option<Place>,
}

impl<'a> Polled<'a> {
    #[cold]
    pub(super) fn enter(site: &'static Site, place: &'a mut Option<Place>) -> Self {
        Self {
            stay: with(|tree| tree.go_on(site, *place)).flatten(),
            place,
        }
    }

    /// Not a poll, but the end of one that is not polled any more.
    #[cold]
    pub(super) fn enter_to_drop(site: &'static Site, place: &'a mut Option<Place>) -> Self {
        let stay = place.and_then(|place| with(|tree| tree.return_to(site, place)).flatten());
        Self { stay, place }
    }
}

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        if let Some(stay) = self.stay
            && let Some(place) = with(|tree| tree.pause(stay)).flatten()
        {
            *self.place = Some(place);
        }
    }
}
