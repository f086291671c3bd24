//! Stacks by their frame pointers: how they are followed, and whether this program keeps them.

mod follow;
mod kept;
mod own;

pub(crate) use self::follow::follow;
pub(crate) use self::kept::{are_kept, deep};
pub(crate) use self::own::own_stack;
