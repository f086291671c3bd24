//! Function profiles: which function costs what, in which calling context.
//!
//! Whoever takes profiles (scopes, samples) hands them to [`Profiles`], where those of one span, kind, endpoint and
//! age become one record.

pub(crate) mod contexts;
pub(crate) mod merge;
mod record;

pub(crate) use merge::Profiles;
