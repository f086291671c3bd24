//! What a setting may be, and what is said of what it may not be.

use crate::scopes::timer::Timer;
use crate::settings::{OneIn, SAMPLES_PER_SECOND};
use std::path::PathBuf;
use std::time::Duration;

use appweight_wire::limits;

pub(super) fn parse_switch(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("neither 1 nor 0".to_owned()),
    }
}

pub(super) fn parse_count_one_in(value: &str) -> Result<OneIn, String> {
    match value.parse() {
        Ok(number @ 1..=1_000_000) => Ok(OneIn::Fixed(number)),
        _ if value == "adaptive" => Ok(OneIn::Adaptive),
        _ => Err("neither a whole number from 1 to 1000000 nor `adaptive`".to_owned()),
    }
}

pub(super) fn parse_count_target(value: &str) -> Result<u64, String> {
    match value.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err("not a whole number, 1 or more".to_owned()),
    }
}

/// 0 or more.
pub(super) fn parse_number(value: &str) -> Result<u64, String> {
    value
        .parse()
        .map_err(|_| "not a whole number, 0 or more".to_owned())
}

/// `instructions,cpu`; also the names of timers that the service brought along.
pub(super) fn parse_timers(value: &str, known: &[Timer]) -> Result<Vec<Timer>, String> {
    let names = value
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let timers: Result<Vec<Timer>, String> = names
        .map(|name| {
            let mut known = known.iter().filter(|known| known.name() == name);
            let timer = known.next().cloned().or_else(|| Timer::named(name));
            timer.ok_or_else(|| format!("there is no timer {name}"))
        })
        .collect();
    match timers?.as_slice() {
        [] => Err("no timer is named".to_owned()),
        timers => Ok(timers.to_vec()),
    }
}

pub(super) fn parse_per_second(value: &str) -> Result<u32, String> {
    match value.parse() {
        Ok(number @ 0..=SAMPLES_PER_SECOND) => Ok(number),
        _ => Err(format!("not a whole number from 0 to {SAMPLES_PER_SECOND}")),
    }
}

pub(super) fn parse_name(value: &str, needed: bool) -> Result<String, String> {
    if needed && value.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if value.len() > limits::NAME_BYTES {
        return Err(format!("longer than {} bytes", limits::NAME_BYTES));
    }
    if value.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    Ok(value.to_owned())
}

pub(super) fn parse_collector(value: &str, tls: bool) -> Result<String, String> {
    let uri: http::Uri = value
        .parse()
        .map_err(|error| format!("not an address: {error}"))?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    if !known || uri.host().is_none_or(str::is_empty) || uri.query().is_some() {
        return Err("not an address such as http://127.0.0.1:7070".to_owned());
    }
    if uri.scheme_str() == Some("https") && !tls {
        return Err("https:// needs appweight-agent to be built with its feature `tls`".to_owned());
    }
    Ok(value.trim_end_matches('/').to_owned())
}

/// What may stand in a header, without spaces.
pub(super) fn parse_token(value: &str) -> Result<String, String> {
    if value.is_empty() {
        Err("empty".to_owned())
    } else if value.chars().all(|c| c.is_ascii_graphic()) {
        Ok(value.to_owned())
    } else {
        Err("holds something else than visible ASCII characters".to_owned())
    }
}

pub(super) fn path_or_none(value: &str) -> Option<PathBuf> {
    (!value.is_empty()).then(|| PathBuf::from(value))
}

/// `67108864`, `64MiB`.
pub(super) fn parse_bytes(value: &str) -> Result<u64, String> {
    let wrong = || "not a number of bytes such as 1048576, 512KiB, 64MiB or 1GiB".to_owned();
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.trim_end().parse().map_err(|_| wrong())?;
    let unit = match &value[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).ok_or_else(wrong)
}

/// `60s`, `1m`, `500ms`; a number alone is refused, since its unit could only be guessed.
pub(super) fn parse_duration(value: &str) -> Result<Duration, String> {
    let wrong = || "not a duration such as 500ms, 10s, 1m or 1h".to_owned();
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.trim_end().parse().map_err(|_| wrong())?;
    let millis = match &value[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(wrong)
}

pub(super) fn check_width(width: Duration) -> Result<Duration, String> {
    let longest = Duration::from_micros(limits::CELL_WIDTH_US);
    if (Duration::from_millis(10)..=longest).contains(&width) {
        Ok(width)
    } else {
        Err("not between 10 ms and a day".to_owned())
    }
}
