//! Numbers that are wider in ClickHouse than here, so that sums never wrap round: cut off when they are read.

use clickhouse::types::UInt256;

pub(super) fn narrow(sum: u128) -> u64 {
    u64::try_from(sum).unwrap_or(u64::MAX)
}

pub(super) fn narrow_signed(sum: i128) -> i64 {
    let bounds = i128::from(i64::MIN)..=i128::from(i64::MAX);
    match i64::try_from(sum) {
        Ok(sum) => sum,
        Err(_) if sum < *bounds.start() => i64::MIN,
        Err(_) => i64::MAX,
    }
}

pub(super) fn widen(value: u128) -> UInt256 {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&value.to_le_bytes());
    UInt256::from_le_bytes(bytes)
}

pub(super) fn narrow_wide(sum: UInt256) -> u128 {
    let bytes = sum.to_le_bytes();
    let (low, high) = bytes.split_at(16);
    if high.iter().any(|byte| *byte != 0) {
        return u128::MAX;
    }
    low.iter()
        .rev()
        .fold(0, |value, byte| (value << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_cut_off_and_all_else_is_kept() {
        assert_eq!(narrow(u128::from(u64::MAX) * 2), u64::MAX);
        assert_eq!(
            (narrow_signed(-7), narrow_signed(i128::MIN)),
            (-7, i64::MIN)
        );
        assert_eq!(narrow_signed(i128::MAX), i64::MAX);
        for value in [0, 1, u128::from(u64::MAX) + 1, u128::MAX] {
            assert_eq!(narrow_wide(widen(value)), value);
        }
        let mut twice = [0xff; 32];
        twice[17..].fill(0);
        assert_eq!(narrow_wide(UInt256::from_le_bytes(twice)), u128::MAX);
    }
}
