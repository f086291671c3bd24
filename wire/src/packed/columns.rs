//! A column: one field of all records.

use super::Broken;
use super::numbers::{put, take};
use crate::limits;

/// No record has it.
const ABSENT: u8 = 0;
/// All records have the same, which follows.
const SAME: u8 = 1;
/// Each record's follows.
const EACH: u8 = 2;
/// Each record's follows, as one more than it is, and 0 where it is absent.
const SOME: u8 = 3;

/// A column that is to be written.
pub(super) struct Column(Vec<Option<u64>>);

impl Column {
    pub(super) fn of(values: impl Iterator<Item = Option<u64>>) -> Self {
        Self(values.collect())
    }

    pub(super) fn put(self, into: &mut Vec<u8>) {
        let values = self.0;
        let first = values.first().copied().flatten();
        match first {
            None if values.iter().all(Option::is_none) => into.push(ABSENT),
            Some(value) if values.iter().all(|other| *other == Some(value)) => {
                into.push(SAME);
                put(into, value);
            }
            _ if values.iter().all(Option::is_some) => {
                into.push(EACH);
                for value in values.into_iter().flatten() {
                    put(into, value);
                }
            }
            _ => {
                into.push(SOME);
                for value in values {
                    // Nothing measured reaches the largest number there is.
                    put(into, value.map_or(0, |value| value.saturating_add(1)));
                }
            }
        }
    }
}

/// A column that is read.
pub(super) enum Reader {
    Same(Option<u64>),
    Each,
    Some,
}

impl Reader {
    pub(super) fn begin(rest: &mut &[u8]) -> Result<Self, Broken> {
        let (&mode, behind) = rest.split_first().ok_or(Broken::BreaksOff)?;
        *rest = behind;
        match mode {
            ABSENT => Ok(Self::Same(None)),
            SAME => Ok(Self::Same(Some(take(rest)?))),
            EACH => Ok(Self::Each),
            SOME => Ok(Self::Some),
            _ => Err(Broken::NoMode),
        }
    }

    /// Whether it is absent or 0 in all records.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Same(None | Some(0)))
    }

    pub(super) fn next(&mut self, rest: &mut &[u8]) -> Result<Option<u64>, Broken> {
        match self {
            Self::Same(value) => Ok(*value),
            Self::Each => take(rest).map(Some),
            Self::Some => Ok(take(rest)?.checked_sub(1)),
        }
    }

    /// A column of so many values.
    pub(super) fn all(rest: &mut &[u8], count: usize) -> Result<Vec<Option<u64>>, Broken> {
        if count > limits::RECORDS {
            return Err(Broken::TooMany);
        }
        let mut column = Self::begin(rest)?;
        (0..count).map(|_| column.next(rest)).collect()
    }
}
