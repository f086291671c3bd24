use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An unsigned 128-bit sum, written as two unsigned 64-bit integers: `[high, low]`.
///
/// Sums of squares of nanoseconds leave 64 bits after a few hundred requests, and neither JSON
/// nor MessagePack has an integer wider than that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wide(pub u128);

impl Wide {
    /// Adds, and stays at the largest value instead of wrapping round.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The nearest `f64`.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.0 as f64
    }
}

impl Serialize for Wide {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ((self.0 >> 64) as u64, self.0 as u64).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Wide {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (high, low) = <(u64, u64)>::deserialize(deserializer)?;
        Ok(Self((u128::from(high) << 64) | u128::from(low)))
    }
}
