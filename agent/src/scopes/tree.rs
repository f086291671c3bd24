//! The calling contexts of one profiled request, bounded.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::atomic::{AtomicU32, Ordering};

use super::site::Site;
use super::timers::{MAX_TIMERS, Timers};
use crate::clock::{CpuClock, cpu_clock};

/// Nodes of one request; what is beyond is charged to the last one that found room.
const NODES: usize = 1 << NODE_BITS;
const NODE_BITS: u32 = 10;
/// No node.
const NONE: u32 = 0;
/// The request itself.
const ROOT: u32 = 0;

/// A node for each chain of scopes, and where the request stands among them.
///
/// The timers are read once at each edge of a scope, and what they moved since the last edge is the own cost of the scope
/// that ran until then. Nothing else needs to be kept: a scope's total is the sum over what is below it.
#[derive(Debug)]
pub(crate) struct Tree {
    timers: &'static Timers,
    /// What is read, if CPU time is the only timer.
    cpu_time_alone: Option<&'static CpuClock>,
    /// Of the request itself.
    calls: u32,
    /// Tells trees apart, so that a scope that was opened in another one is not closed in this; in the upper half, as
    /// [`Stay`] has it.
    id: u64,
    current: u32,
    nodes: Vec<Node>,
    /// How often each node was gone on with when it was entered, and not called.
    went_on: Vec<u32>,
    /// What each node itself cost by the other timers, a value for each.
    more: Vec<i64>,
    last: [u64; MAX_TIMERS],
    /// Timers that could not be read some time.
    absent: u8,
    /// See [`Timers::instructions_waited`].
    waited: Option<(u8, u64)>,
    folded: u64,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    /// `None` of the request itself.
    site: Option<&'static Site>,
    /// What it itself cost by the first timer: here, where a scope looks anyway.
    own: i64,
    parent: u32,
    /// Its first child, and its parent's next after it; the root is nobody's child.
    child: u32,
    next: u32,
    /// How often it was entered: an async function at each poll. So a number tells one stay in it from another.
    entered: u32,
}

/// A stay in a scope, to be ended by [`Tree::leave`]: the tree, which stay in the node it is (the last 22 bits of how often
/// that was entered) and the node, in one number, for which a scope needs no room on the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stay(NonZeroU64);

impl Stay {
    #[inline]
    fn new(tree: u64, entered: u32, node: u32) -> Option<Self> {
        let here = entered << NODE_BITS | node;
        NonZeroU64::new(tree | u64::from(here)).map(Self)
    }

    /// As [`Tree::id`] has it.
    #[inline]
    fn tree(self) -> u64 {
        self.0.get() & !u64::from(u32::MAX)
    }

    #[inline]
    fn node(self) -> u32 {
        self.0.get() as u32 & ((1 << NODE_BITS) - 1)
    }
}

/// Where a scope stood when it was left for a time, to be gone on with by [`Tree::go_on`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    stay: Stay,
    /// Blocks inside of it that are open still.
    inside: Stay,
}

/// What is told of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) site: Option<&'static Site>,
    pub(super) parent: u32,
    pub(super) calls: u32,
    pub(super) entered: u32,
    /// What it itself cost by the first timer, and by each of the others.
    first: i64,
    more: &'a [i64],
}

impl Told<'_> {
    /// What it itself cost by that timer.
    pub(super) fn own(&self, timer: usize) -> i64 {
        match timer.checked_sub(1) {
            None => self.first,
            Some(at) => self.more.get(at).copied().unwrap_or(0),
        }
    }
}

impl Tree {
    pub(crate) fn new(timers: &'static Timers) -> Self {
        static IDS: AtomicU32 = AtomicU32::new(0);
        let mut tree = Self {
            timers,
            cpu_time_alone: timers.is_cpu_time_alone().then(cpu_clock),
            calls: 0,
            id: u64::from(IDS.fetch_add(1, Ordering::Relaxed)) << 32,
            current: ROOT,
            nodes: Vec::with_capacity(32),
            went_on: Vec::with_capacity(32),
            more: Vec::with_capacity(32 * timers.len().saturating_sub(1)),
            last: [0; MAX_TIMERS],
            absent: 0,
            waited: None,
            folded: 0,
        };
        tree.push(None, ROOT);
        tree
    }

    /// One for work that is started here and done elsewhere: its calling contexts go on from here.
    pub(crate) fn branch(&self) -> Self {
        let mut path = Vec::new();
        let mut at = self.current;
        while let Some(site) = self.nodes[at as usize].site {
            path.push(site);
            at = self.nodes[at as usize].parent;
        }
        let mut branch = Self::new(self.timers);
        for site in path.into_iter().rev() {
            branch.current = branch.push(Some(site), branch.current);
        }
        branch
    }

    /// It was called.
    pub(crate) fn called(&mut self) {
        self.calls += 1;
    }

    /// Work goes on, on the calling thread.
    pub(crate) fn begin(&mut self) {
        self.waited = self.timers.instructions_waited();
        self.look();
    }

    /// It pauses: the same thread.
    pub(crate) fn end(&mut self) {
        self.charge();
        if let (Some((bit, before)), Some((_, now))) =
            (self.waited, self.timers.instructions_waited())
            && now != before
        {
            self.absent |= bit;
        }
    }

    /// Reads the timers without charging anybody for what they moved.
    fn look(&mut self) {
        let last = &mut self.last;
        self.absent |= self.timers.read(|at, now| last[at] = now);
    }

    /// Charges the scope that ran until now.
    #[inline]
    fn charge(&mut self) {
        match self.cpu_time_alone.map(|clock| clock.now().cpu_ns()) {
            None => self.charge_all(),
            Some(Some(now)) => self.charge_cpu_time(now),
            Some(None) => self.absent |= 1,
        }
    }

    /// The same by a CPU time that has been read already, where that is the only timer.
    #[inline]
    fn charge_cpu_time(&mut self, now: u64) {
        if let Some(node) = self.nodes.get_mut(self.current as usize) {
            let moved = now.wrapping_sub(self.last[0]).cast_signed();
            node.own = node.own.wrapping_add(moved);
            self.last[0] = now;
        }
    }

    /// The same by any timers.
    #[inline(never)]
    fn charge_all(&mut self) {
        let current = self.current as usize;
        let first = &mut self.nodes[current].own;
        let more = &mut self.more[current * others(self.timers)..];
        let last = &mut self.last;
        self.absent |= self.timers.read(|timer, now| {
            // Signed: memory shrinks, and so may what a service counts itself.
            let moved = now.wrapping_sub(last[timer]).cast_signed();
            last[timer] = now;
            let own = match timer.checked_sub(1) {
                None => &mut *first,
                Some(at) => &mut more[at],
            };
            *own = own.wrapping_add(moved);
        });
    }

    /// A scope begins; `None` if there is no room for it, and it is a part of the one it is in.
    #[inline]
    pub(crate) fn enter(&mut self, site: &'static Site) -> Option<Stay> {
        self.charge();
        match self.known(site) {
            Some(at) => self.settle(at),
            None => self.grow(site),
        }
    }

    #[inline]
    fn settle(&mut self, at: NonZeroU32) -> Option<Stay> {
        let node = self.nodes.get_mut(at.get() as usize)?;
        node.entered = node.entered.wrapping_add(1);
        let entered = node.entered;
        self.current = at.get();
        Stay::new(self.id, entered, at.get())
    }

    /// [`Tree::enter`] at that CPU time, if it is the only timer and the scope has been entered from here before; otherwise
    /// nothing is done. No code of the service runs, and nothing of the agent's that logs.
    #[inline]
    pub(super) fn enter_known(&mut self, site: &'static Site, now: u64) -> Option<Stay> {
        let at = self.known(site)?;
        self.charge_cpu_time(now);
        self.settle(at)
    }

    /// The same for [`Tree::leave`].
    #[inline]
    pub(super) fn leave_known(&mut self, stay: Stay, now: u64) -> Option<()> {
        let parent = self.outside(stay)?;
        self.charge_cpu_time(now);
        self.current = parent;
        Some(())
    }

    /// What is read for a tree whose one timer is CPU time.
    #[inline]
    pub(super) fn cpu_time_alone(&self) -> Option<&'static CpuClock> {
        self.cpu_time_alone
    }

    #[cold]
    fn grow(&mut self, site: &'static Site) -> Option<Stay> {
        if self.nodes.len() >= NODES {
            self.folded += 1;
            return None;
        }
        self.push(Some(site), self.current);
        // The room that was just made is nobody's cost, and what follows is what every stay costs.
        self.look();
        self.known(site).and_then(|at| self.settle(at))
    }

    /// That stay ends. If it has ended already, with the scope that it is in or because the request was left, or
    /// if it was in another tree, nothing does.
    #[inline]
    pub(crate) fn leave(&mut self, stay: Stay) {
        if let Some(parent) = self.outside(stay) {
            self.charge();
            self.current = parent;
        }
    }

    /// What is round that stay, if the request stands in it or in one inside of it.
    #[inline]
    fn outside(&self, stay: Stay) -> Option<u32> {
        let node = stay.node();
        let there = self.nodes.get(node as usize)?;
        if !self.is_in(stay, there) {
            return None;
        }
        let mut at = self.current;
        while at > node {
            // A parent comes before its children.
            at = self.nodes.get(at as usize)?.parent;
        }
        (at == node).then_some(there.parent)
    }

    /// Whether that is the last stay in its node.
    #[inline]
    fn is_in(&self, stay: Stay, node: &Node) -> bool {
        Stay::new(self.id, node.entered, stay.node()) == Some(stay)
    }

    /// As [`Tree::leave`], to be gone on with: an async function that waits.
    pub(crate) fn pause(&mut self, stay: Stay) -> Option<Place> {
        let outside = self.outside(stay)?;
        self.charge();
        let entered = self.nodes[self.current as usize].entered;
        let inside = Stay::new(self.id, entered, self.current)?;
        self.current = outside;
        Some(Place { stay, inside })
    }

    /// A scope goes on that was left for a time; in another request, or called from somewhere else, it begins there.
    pub(crate) fn go_on(&mut self, site: &'static Site, place: Option<Place>) -> Option<Stay> {
        match place {
            Some(place) if place.stay.tree() == self.id => self.return_to(site, place),
            _ => self.enter(site),
        }
    }

    /// The same without a call of it: `None` in another request.
    pub(crate) fn return_to(&mut self, site: &'static Site, place: Place) -> Option<Stay> {
        if place.stay.tree() != self.id {
            return None;
        }
        let stay = self.enter(site)?;
        let went_on = &mut self.went_on[stay.node() as usize];
        *went_on = went_on.wrapping_add(1);
        let inside = place.inside;
        let at = inside.node();
        if stay.node() == place.stay.node()
            && at != stay.node()
            && self.is_in(inside, &self.nodes[at as usize])
        {
            self.current = at;
        }
        Some(stay)
    }

    /// Adds what was done elsewhere for the same request.
    pub(crate) fn join(&mut self, other: &Self) {
        self.absent |= other.absent;
        self.folded += other.folded;
        self.calls = self.calls.wrapping_add(other.calls);
        let here = self.current;
        let mut places: Vec<u32> = Vec::with_capacity(other.nodes.len());
        let others = others(self.timers);
        for (number, node) in other.nodes.iter().enumerate() {
            let (place, is_own) = match node.site {
                None => (ROOT, true),
                Some(site) => {
                    self.current = places.get(node.parent as usize).copied().unwrap_or(ROOT);
                    match self.known(site) {
                        Some(place) => (place.get(), true),
                        None if self.nodes.len() < NODES => {
                            (self.push(Some(site), self.current), true)
                        }
                        None => {
                            self.folded += 1;
                            (self.current, false)
                        }
                    }
                }
            };
            if is_own {
                let known = &mut self.nodes[place as usize];
                known.entered = known.entered.wrapping_add(node.entered);
                let went_on = &mut self.went_on[place as usize];
                *went_on = went_on.wrapping_add(other.went_on[number]);
            }
            let known = &mut self.nodes[place as usize];
            known.own = known.own.wrapping_add(node.own);
            let sums = &mut self.more[place as usize * others..];
            let more = &other.more[number * others..][..others];
            for (sum, value) in sums.iter_mut().zip(more) {
                *sum = sum.wrapping_add(*value);
            }
            places.push(place);
        }
        self.current = here;
    }

    /// The current node's child of that site.
    #[inline]
    fn known(&self, site: &'static Site) -> Option<NonZeroU32> {
        let mut at = self.nodes.get(self.current as usize)?.child;
        while let Some(child) = NonZeroU32::new(at) {
            let node = self.nodes.get(at as usize)?;
            if node.site.is_some_and(|known| std::ptr::eq(known, site)) {
                return Some(child);
            }
            at = node.next;
        }
        None
    }

    fn push(&mut self, site: Option<&'static Site>, parent: u32) -> u32 {
        let at = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        let before = self.nodes.get_mut(parent as usize);
        let next = before.map_or(NONE, |parent| std::mem::replace(&mut parent.child, at));
        self.nodes.push(Node {
            site,
            own: 0,
            parent,
            child: NONE,
            next,
            entered: 0,
        });
        self.went_on.push(0);
        let more = self.nodes.len() * others(self.timers);
        self.more.resize(more, 0);
        at
    }

    pub(super) fn timers(&self) -> &'static Timers {
        self.timers
    }

    /// Which timers are not to be told.
    pub(super) fn absent(&self) -> u8 {
        self.absent
    }

    pub(super) fn folded(&self) -> u64 {
        self.folded
    }

    /// Its nodes, each after its parent; the first is the request.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Told<'_>> {
        let others = others(self.timers);
        let nodes = self.nodes.iter().enumerate();
        nodes.map(move |(number, node)| Told {
            site: node.site,
            parent: node.parent,
            calls: match node.site {
                None => self.calls,
                Some(_) => node.entered.wrapping_sub(self.went_on[number]),
            },
            entered: node.entered,
            first: node.own,
            more: &self.more[number * others..][..others],
        })
    }
}

/// How many timers there are beside the first.
fn others(timers: &Timers) -> usize {
    timers.len().saturating_sub(1)
}
