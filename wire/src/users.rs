use datasketches::hll::{HllSketch, HllType, HllUnion};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// log₂ of the number of registers: a standard error of 1.6 % in 4 KiB.
const LOG2_REGISTERS: u8 = 12;

/// Why bytes are not a sketch of active users.
#[derive(Debug, thiserror::Error)]
#[error(
    "not a HyperLogLog sketch with 2^{LOG2_REGISTERS} registers in the form of Apache DataSketches: {0}"
)]
pub struct UserSketchError(String);

/// How many distinct users were active, without saying who: a HyperLogLog sketch that unites with
/// those of other processes, as long as all hash users with the same key.
///
/// Its standard error is 1.04 / √4096 = 1.6 %; small numbers (up to some hundreds) are nearly exact.
/// On the wire it is the serialised form of an `HLL_8` sketch of Apache DataSketches
/// (<https://datasketches.apache.org/docs/HLL/HLL.html>), which has libraries for many languages.
///
/// ```
/// use appweight_wire::ActiveUsers;
///
/// let mut first = ActiveUsers::new();
/// first.insert_hash(17);
/// first.insert_hash(18);
/// let mut second = ActiveUsers::new();
/// second.insert_hash(18);
/// first.unite(&second);
/// assert_eq!(first.estimate().round(), 2.0);
/// ```
#[derive(Debug, Clone)]
pub struct ActiveUsers(HllSketch);

impl ActiveUsers {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self(
            HllSketch::new(LOG2_REGISTERS, HllType::Hll8)
                .expect("a constant within the range that the sketch takes"),
        )
    }

    /// Adds a user by the keyed hash of the identity. The same hash twice counts once.
    pub fn insert_hash(&mut self, hash: u64) {
        self.0.update(hash);
    }

    /// Adds the users of another sketch.
    pub fn unite(&mut self, other: &Self) {
        let mut union = HllUnion::new(LOG2_REGISTERS)
            .expect("a constant within the range that the union takes");
        union.update(&self.0);
        union.update(&other.0);
        self.0 = union.to_sketch(HllType::Hll8);
    }

    /// The number of distinct users, with a standard error of 1.6 %.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        self.0.estimate()
    }

    /// The serialised sketch.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.serialize()
    }

    /// Reads what [`ActiveUsers::to_bytes`] wrote.
    ///
    /// # Errors
    /// If the bytes are no such sketch, or one of another size.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, UserSketchError> {
        let sketch =
            HllSketch::deserialize(bytes).map_err(|error| UserSketchError(error.to_string()))?;
        if sketch.lg_config_k() == LOG2_REGISTERS {
            Ok(Self(sketch))
        } else {
            Err(UserSketchError(format!(
                "it has 2^{} registers",
                sketch.lg_config_k()
            )))
        }
    }
}

impl Default for ActiveUsers {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for ActiveUsers {
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

impl Serialize for ActiveUsers {
    /// Binary in MessagePack, a string of lower-case hexadecimal digits in JSON.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.to_bytes();
        if serializer.is_human_readable() {
            use std::fmt::Write;
            let hex = bytes
                .iter()
                .fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
                    let _ = write!(hex, "{byte:02x}");
                    hex
                });
            serializer.serialize_str(&hex)
        } else {
            serializer.serialize_bytes(&bytes)
        }
    }
}

impl<'de> Deserialize<'de> for ActiveUsers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let hex = String::deserialize(deserializer)?;
            let bytes = from_hex(&hex)
                .ok_or_else(|| de::Error::custom("not an even number of hexadecimal digits"))?;
            Self::from_bytes(&bytes).map_err(de::Error::custom)
        } else {
            deserializer.deserialize_byte_buf(BytesVisitor)
        }
    }
}

struct BytesVisitor;

impl de::Visitor<'_> for BytesVisitor {
    type Value = ActiveUsers;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the bytes of a HyperLogLog sketch")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<ActiveUsers, E> {
        ActiveUsers::from_bytes(bytes).map_err(E::custom)
    }
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_within_four_standard_errors_and_unites_in_any_order() {
        let mut parts = [ActiveUsers::new(), ActiveUsers::new(), ActiveUsers::new()];
        for user in 0..30_000_u64 {
            parts[(user % 3) as usize].insert_hash(user.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            parts[(user % 2) as usize].insert_hash(user.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        let unite = |order: [usize; 3]| {
            let mut all = ActiveUsers::new();
            for part in order {
                all.unite(&parts[part]);
            }
            all.estimate()
        };
        let estimate = unite([0, 1, 2]);
        assert!(
            (estimate / 30_000.0 - 1.0).abs() < 4.0 * 0.0163,
            "{estimate}"
        );
        assert!((unite([2, 0, 1]) - estimate).abs() < 1e-6);
    }

    #[test]
    fn both_forms_come_back_and_rubbish_is_refused() {
        let mut users = ActiveUsers::new();
        for user in 0..500 {
            users.insert_hash(user);
        }
        let json = serde_json::to_string(&users).unwrap();
        assert_eq!(serde_json::from_str::<ActiveUsers>(&json).unwrap(), users);
        let packed = rmp_serde::to_vec_named(&users).unwrap();
        assert_eq!(
            rmp_serde::from_slice::<ActiveUsers>(&packed).unwrap(),
            users
        );
        assert!(serde_json::from_str::<ActiveUsers>("\"0g\"").is_err());
        assert!(ActiveUsers::from_bytes(&[0; 9]).is_err());
    }
}
