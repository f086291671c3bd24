//! Which tree the calling thread records into, and the scopes of its code.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;

use super::site::Site;
use super::tree::{Place, Stay, Tree};

thread_local! {
    // Apart from the tree, so that a scope of a request that is not profiled is a load and a branch.
    static RECORDS: Cell<bool> = const { Cell::new(false) };
    // Never dropped, so that no scope asks whether it has been: a thread does not end in the middle of a poll.
    static CURRENT: Cell<ManuallyDrop<Option<Box<Tree>>>> = const { Cell::new(ManuallyDrop::new(None)) };
}

/// Whether the calling thread runs a part of a profiled request now.
#[inline]
pub(crate) fn records() -> bool {
    RECORDS.get()
}

/// Makes this the tree that the calling thread records into, and gives back the one that was.
pub(crate) fn swap(tree: Option<Box<Tree>>) -> Option<Box<Tree>> {
    RECORDS.set(tree.is_some());
    ManuallyDrop::into_inner(CURRENT.replace(ManuallyDrop::new(tree)))
}

/// Works on the current tree. It is taken out meanwhile, so that timers of the service which are themselves scopes are
/// not recorded.
#[inline]
pub(crate) fn with<T>(work: impl FnOnce(&mut Tree) -> T) -> Option<T> {
    let tree = CURRENT.replace(ManuallyDrop::new(None));
    let mut tree = ManuallyDrop::into_inner(tree)?;
    let done = work(&mut tree);
    CURRENT.set(ManuallyDrop::new(Some(tree)));
    Some(done)
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
            stay: if records() { enter(site) } else { None },
            stays_here: PhantomData,
        }
    }
}

impl Drop for Scope {
    #[inline]
    fn drop(&mut self) {
        if let Some(stay) = self.stay {
            leave(stay);
        }
    }
}

#[cold]
fn enter(site: &'static Site) -> Option<Stay> {
    with(|tree| tree.enter(site)).flatten()
}

#[cold]
fn leave(stay: Stay) {
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
