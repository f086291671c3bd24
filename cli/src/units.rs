//! Durations, percentages and times as people write them.

use std::time::Duration;

use jiff::Timestamp;

/// `90s`, `2m`, `1h 30m`, `500ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write it as 500ms, 90s or 2m"))?;
    if parsed.is_zero() {
        return Err("must be longer than nothing".to_owned());
    }
    Ok(parsed)
}

/// `512KiB`, `64MiB`, `2GiB`, or bytes.
pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let (number, unit) = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]
        .into_iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))
        .unwrap_or((text, 1));
    let number: usize = number
        .trim()
        .parse()
        .map_err(|_| "write it as 512KiB, 64MiB or 1GiB")?;
    match number.checked_mul(unit) {
        Some(0) => Err("must be more than nothing".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err("is more than there can be".to_owned()),
    }
}

/// `1%`, `0.5 %`, `-2%`; as a fraction.
pub(crate) fn percentage(text: &str) -> Result<f64, String> {
    let number = text
        .trim()
        .strip_suffix('%')
        .ok_or("write it with its sign, as 1% or 0.5%")?;
    match number.trim().parse::<f64>() {
        Ok(percent) if percent.is_finite() && percent > -100.0 => Ok(percent / 100.0),
        _ => Err(format!("{number:?} is not a number over -100")),
    }
}

/// A percentage between 0 % and 100 %, both excluded.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let fraction = percentage(text)?;
    if fraction > 0.0 && fraction < 1.0 {
        Ok(fraction)
    } else {
        Err("must lie between 0% and 100%".to_owned())
    }
}

/// A percentage between 50 % and 100 %, both excluded.
pub(crate) fn confidence(text: &str) -> Result<f64, String> {
    let fraction = percentage(text)?;
    if fraction > 0.5 && fraction < 1.0 {
        Ok(fraction)
    } else {
        Err("must lie between 50% and 100%".to_owned())
    }
}

/// `2026-11-29 18:12 UTC`.
pub(crate) fn minute(us: u64) -> String {
    written(us, "%Y-%m-%d %H:%M UTC")
}

/// `2026-11-29`, of UTC.
pub(crate) fn day(us: u64) -> String {
    written(us, "%Y-%m-%d")
}

fn written(us: u64, form: &str) -> String {
    let at = i64::try_from(us)
        .ok()
        .and_then(|us| Timestamp::from_microsecond(us).ok());
    at.map_or_else(String::new, |at| at.strftime(form).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_need_their_sign() {
        assert_eq!(percentage("1%"), Ok(0.01));
        assert_eq!(percentage(" 0.5 %"), Ok(0.005));
        assert_eq!(percentage("-2%"), Ok(-0.02));
        for bad in ["1", "%", "x%", "nan%", "inf%", "-100%", ""] {
            assert!(percentage(bad).is_err(), "{bad}");
        }
        assert!(confidence("100%").is_err());
        assert!(share("0%").is_err() && share("100%").is_err());
        assert_eq!(share("10%"), Ok(0.1));
        assert_eq!(confidence("95%"), Ok(0.95));
    }

    #[test]
    fn bytes_may_have_units() {
        assert_eq!(bytes("512"), Ok(512));
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("1 GiB"), Ok(1 << 30));
        for bad in ["", "MiB", "-1", "1.5MiB", "1MB", "99999999999GiB"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("0s").is_err());
        assert!(duration("5").is_err());
    }
}
