//! log₂ in whole numbers, the same as by floating point with less work.

/// Fraction bits of what is computed here.
const FINE_BITS: u32 = 36;
/// Fraction bits of the answer.
const BITS: u32 = 16;
/// The mantissas from 1 to 2 are cut into so many equal segments.
const SEGMENT_BITS: u32 = 8;
const SEGMENTS: usize = 1 << SEGMENT_BITS;
/// How near to a half, in units of 2⁻³⁶, a value may come and still be rounded here. The parabola
/// of a segment is off by 0.0481 · f‴ h³ / 6 at most, which is 96 such units where f‴ is largest
/// (2 / ln 2), the table by one and the products by two.
const DOUBT: u64 = 256;

/// log₂(value) in units of 2⁻¹⁶, rounded to the nearest; a value of 0 counts as 1.
///
/// Where it lies so near to a half that the approximation cannot tell, which is once in some two
/// thousand times, it is computed by floating point, so that the answer is always that one's.
#[inline]
pub(crate) fn log2(value: u64) -> u64 {
    let value = value.max(1);
    let fine = fine(value) + (1 << (FINE_BITS - BITS - 1));
    let rest = fine & ((1 << (FINE_BITS - BITS)) - 1);
    if rest.wrapping_sub(DOUBT) < (1 << (FINE_BITS - BITS)) - 2 * DOUBT {
        fine >> (FINE_BITS - BITS)
    } else {
        by_floating_point(value)
    }
}

/// What the format says.
#[cold]
fn by_floating_point(value: u64) -> u64 {
    ((value as f64).log2() * f64::from(1_u32 << BITS)).round() as u64
}

/// log₂ in units of 2⁻³⁶, to some hundred of them: between the ends of a segment and its middle by
/// the parabola through these three.
#[inline]
fn fine(value: u64) -> u64 {
    let zeros = value.leading_zeros();
    // The highest bit is one, and gone: 8 bits tell the segment, 32 the place within it.
    let mantissa = (value << zeros) << 1;
    let segment = &TABLE[(mantissa >> (64 - SEGMENT_BITS)) as usize];
    let within = (mantissa << SEGMENT_BITS) >> 32;
    let line = (segment.rise * within) >> 32;
    let arc = (segment.bulge * ((within * ((1 << 32) - within)) >> 32)) >> 32;
    (u64::from(63 - zeros) << FINE_BITS) + segment.start + line + arc
}

struct Segment {
    /// The logarithm at its start.
    start: u64,
    /// By how much it grows until its end.
    rise: u64,
    /// Four times by how much the logarithm of the middle lies over the mean of those of the ends.
    bulge: u64,
}

static TABLE: [Segment; SEGMENTS] = table();

const fn table() -> [Segment; SEGMENTS] {
    let mut table = [const {
        Segment {
            start: 0,
            rise: 0,
            bulge: 0,
        }
    }; SEGMENTS];
    let mut at = 0;
    while at < SEGMENTS {
        let half = (2 * (SEGMENTS + at)) as u64;
        let (start, middle, end) = (log2_of(half), log2_of(half + 1), log2_of(half + 2));
        table[at] = Segment {
            start,
            rise: end - start,
            bulge: 4 * middle - 2 * (start + end),
        };
        at += 1;
    }
    table
}

/// log₂ of so many halves of a segment, from 1 to 2, digit by digit: squaring a number doubles its
/// logarithm, and whether the square is 2 or more is the next digit.
const fn log2_of(halves: u64) -> u64 {
    const ONE: u128 = 1 << 62;
    let mut x = (halves as u128) << (62 - SEGMENT_BITS - 1);
    if x == 2 * ONE {
        return 1 << FINE_BITS;
    }
    let mut log = 0_u64;
    // One digit more than is kept, to round.
    let mut digit = 0;
    while digit <= FINE_BITS {
        x = (x * x) >> 62;
        log <<= 1;
        if x >= 2 * ONE {
            x >>= 1;
            log |= 1;
        }
        digit += 1;
    }
    log.div_ceil(2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, written out once more.
    fn defined(value: u64) -> u64 {
        ((value.max(1) as f64).log2() * 65_536.0).round() as u64
    }

    #[test]
    fn it_is_the_floating_point_one_for_all_small_values() {
        for value in 0..2_000_000 {
            assert_eq!(log2(value), defined(value), "{value}");
        }
    }

    #[test]
    fn it_is_the_floating_point_one_round_every_power_and_edge() {
        for shift in 0..64 {
            for near in 0..200 {
                for value in [
                    (1_u64 << shift).wrapping_add(near),
                    (1_u64 << shift).wrapping_sub(near),
                    (u64::MAX >> shift).wrapping_sub(near),
                ] {
                    assert_eq!(log2(value), defined(value), "{value}");
                }
            }
        }
        // Values next to each place where the answer changes.
        for answer in (0..64 * 65_536_u64).step_by(7) {
            let edge = ((answer as f64 + 0.5) / 65_536.0).exp2() as u64;
            for value in edge.saturating_sub(2)..=edge.saturating_add(2) {
                assert_eq!(log2(value), defined(value), "{value}");
            }
        }
    }

    #[test]
    fn the_approximation_is_nearer_than_the_doubt() {
        let unit = f64::from(1 << 18) * f64::from(1 << 18);
        let mut worst = 0.0_f64;
        for step in 0..1_000_000_u64 {
            // All mantissas evenly, with enough bits that the float is exact.
            let value = (1 << 52) + step * ((1 << 52) / 1_000_000) + step % 97;
            worst = worst.max((fine(value) as f64 - (value as f64).log2() * unit).abs());
        }
        assert!(worst < DOUBT as f64 / 2.0, "{worst}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn it_is_the_floating_point_one(value in any::<u64>(), shift in 0_u32..64) {
            prop_assert_eq!(log2(value >> shift), defined(value >> shift));
        }
    }
}
