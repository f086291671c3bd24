//! The choice that a request is profiled, and what is gathered of one while it runs.

use crate::core::Core;
use crate::sampling::{Finished, Stacks};
use crate::scopes::ended::Of;
use crate::scopes::tree::Tree;
use crate::scopes::{self, records};

/// A profiled request, or a part of one that runs elsewhere: told when a poll of it begins and ends on a thread.
///
/// Requests and their children are told in the same way, so that whatever takes profiles has all it needs here:
/// [`Profiled::enter`] and [`Profiled::leave`] on the thread that polls, [`Profiled::join`] when a child has ended.
#[derive(Debug)]
pub(crate) struct Profiled {
    core: &'static Core,
    /// Absent while it is the thread's current one.
    tree: Option<Box<Tree>>,
    /// Its stacks, if they are sampled; absent while they are with the thread that polls.
    stacks: Option<Box<Stacks>>,
    /// Whether they are.
    is_sampled: bool,
}

/// A profiled request that has ended.
#[derive(Debug)]
pub(crate) struct EndedProfile {
    pub(crate) of: Of,
    pub(crate) tree: Box<Tree>,
}

/// What the thread recorded before, to be put back.
#[derive(Debug)]
#[must_use = "what was recorded before goes on afterwards"]
pub(crate) struct Outer(Option<Box<Tree>>);

impl Outer {
    #[inline]
    pub(crate) fn take(&mut self) -> Self {
        Self(self.0.take())
    }
}

impl Profiled {
    /// Of a request that has been chosen to be profiled.
    #[cold]
    pub(crate) fn begin(core: &'static Core) -> Box<Self> {
        let mut tree = Box::new(Tree::new(core.timers()));
        tree.called();
        Box::new(Self {
            core,
            tree: Some(tree),
            stacks: core.sampling().begin(),
            is_sampled: false,
        })
    }

    /// Of work that is started here and done elsewhere, if what runs here is profiled.
    #[inline]
    pub(crate) fn of_child(core: &'static Core) -> Option<Box<Self>> {
        if records() { Self::branch(core) } else { None }
    }

    #[cold]
    fn branch(core: &'static Core) -> Option<Box<Self>> {
        let tree = scopes::with(|tree| tree.branch())?;
        Some(Box::new(Self {
            core,
            tree: Some(Box::new(tree)),
            stacks: core.sampling().begin(),
            is_sampled: false,
        }))
    }

    /// A poll begins on the calling thread. Also asked for one that is not profiled, so that what it does is not taken for
    /// that of a profiled one around it.
    #[inline]
    pub(crate) fn enter(profiled: &mut Option<Box<Self>>) -> Outer {
        match profiled {
            Some(profiled) => profiled.begin_poll(),
            None if records() => Outer(scopes::swap(None)),
            None => Outer(None),
        }
    }

    /// It ends, on the same thread.
    #[inline]
    pub(crate) fn leave(profiled: &mut Option<Box<Self>>, outer: Outer) {
        match profiled {
            Some(profiled) => profiled.end_poll(outer),
            None if outer.0.is_some() => drop(scopes::swap(outer.0)),
            None => {}
        }
    }

    #[cold]
    fn begin_poll(&mut self) -> Outer {
        if let Some(tree) = &mut self.tree {
            tree.begin();
        }
        let outer = Outer(scopes::swap(self.tree.take()));
        if let Some(stacks) = self.stacks.take() {
            // Last, as what is done after it is the request's.
            self.stacks = self.core.sampling().enter(stacks).err();
            self.is_sampled = self.stacks.is_none();
        }
        outer
    }

    #[cold]
    fn end_poll(&mut self, outer: Outer) {
        if std::mem::take(&mut self.is_sampled) {
            self.stacks = self.core.sampling().leave();
        }
        self.tree = scopes::swap(outer.0);
        if let Some(tree) = &mut self.tree {
            tree.end();
        }
    }

    /// Adds what a child of the same request did.
    pub(crate) fn join(&mut self, child: &Self) {
        if let (Some(tree), Some(child)) = (&mut self.tree, &child.tree) {
            tree.join(child);
        }
        if let (Some(stacks), Some(child)) = (&mut self.stacks, &child.stacks) {
            stacks.join(child);
        }
    }

    /// It has ended.
    pub(crate) fn end(self, of: Of) -> Option<EndedProfile> {
        if let Some(stacks) = self.stacks {
            self.core.sampling().finish(Finished { stacks, of });
        }
        Some(EndedProfile {
            of,
            tree: self.tree?,
        })
    }
}
