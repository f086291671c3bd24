//! Numbers of as many bytes as they need: seven bits in each, the lowest first, the eighth bit set in all but
//! the last (LEB128).

use super::Broken;

pub(super) fn put(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

pub(super) fn take(rest: &mut &[u8]) -> Result<u64, Broken> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first().ok_or(Broken::BreaksOff)?;
        *rest = behind;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if shift == 63 && bits > 1 {
            return Err(Broken::TooLong);
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Broken::TooLong)
}

/// As [`put`], for numbers up to 128 bits.
pub(super) fn put_wide(into: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// What [`put_wide`] wrote.
pub(super) fn take_wide(rest: &mut &[u8]) -> Result<u128, Broken> {
    let mut value = 0;
    for shift in (0..128).step_by(7) {
        let (&byte, behind) = rest.split_first().ok_or(Broken::BreaksOff)?;
        *rest = behind;
        let bits = u128::from(byte & 0x7f);
        // The nineteenth byte has room for two bits.
        if shift == 126 && bits > 3 {
            return Err(Broken::TooLong);
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Broken::TooLong)
}

/// A text with its length before it.
pub(super) fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, Broken> {
    let length = usize::try_from(take(rest)?).map_err(|_| Broken::BreaksOff)?;
    let (text, behind) = rest.split_at_checked(length).ok_or(Broken::BreaksOff)?;
    *rest = behind;
    std::str::from_utf8(text).map_err(|_| Broken::NoText)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_numbers_come_back() {
        for value in [0, 127, 128, u128::from(u64::MAX) + 1, u128::MAX] {
            let mut written = Vec::new();
            put_wide(&mut written, value);
            let mut rest = written.as_slice();
            assert_eq!(take_wide(&mut rest), Ok(value));
            assert!(rest.is_empty());
            let mut cut = &written[..written.len() - 1];
            assert_eq!(take_wide(&mut cut), Err(Broken::BreaksOff));
        }
        assert_eq!(take_wide(&mut [0xff; 20].as_slice()), Err(Broken::TooLong));
    }

    #[test]
    fn a_number_takes_a_byte_for_seven_bits() {
        for (value, bytes) in [
            (0, 1),
            (127, 1),
            (128, 2),
            (16_383, 2),
            (16_384, 3),
            (u64::MAX - 1, 10),
            (u64::MAX, 10),
        ] {
            let mut written = Vec::new();
            put(&mut written, value);
            assert_eq!(written.len(), bytes, "{value}");
            let mut rest = written.as_slice();
            assert_eq!(take(&mut rest), Ok(value));
            assert!(rest.is_empty());
            let mut cut = &written[..bytes - 1];
            assert_eq!(take(&mut cut), Err(Broken::BreaksOff));
        }
        assert_eq!(take(&mut [0xff; 11].as_slice()), Err(Broken::TooLong));
        let beyond = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(take(&mut beyond.as_slice()), Err(Broken::TooLong));
    }
}
