//! How far a client's clock is from the collector's.

use appweight_wire::{Batch, PackedRequests, SENT_US_HEADER};
use http::HeaderMap;

/// What is on the way for so long, or measured so far apart, tells nothing about clocks, µs.
const APART_US: u64 = 5_000_000;

/// How much the clock of whoever sent a batch is ahead of ours, µs, less than 0 if it is behind; `None` if it
/// cannot be told from ours.
///
/// Told by when the client says that it sent the batch. Where it does not say, by records of the future: then the
/// clock is ahead at least so far, and one that is behind cannot be told from a batch that comes late.
pub(crate) fn ahead(
    headers: &HeaderMap,
    batch: &Batch,
    packed: Option<&PackedRequests>,
    came_us: u64,
) -> Option<i64> {
    let sent_us = headers
        .get(SENT_US_HEADER)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let told_us = match sent_us {
        Some(sent_us) => sent_us,
        None => newest(batch, packed).filter(|newest_us| *newest_us > came_us)?,
    };
    if told_us.abs_diff(came_us) < APART_US {
        return None;
    }
    let (told_us, came_us) = (i128::from(told_us), i128::from(came_us));
    i64::try_from(told_us - came_us).ok()
}

/// The latest time that a batch tells of. A cell may be sent before its span is over.
fn newest(batch: &Batch, packed: Option<&PackedRequests>) -> Option<u64> {
    let cells = batch.cells.iter().map(|cell| cell.key.start_us);
    let requests = batch.requests.iter().map(|request| request.start_us);
    let processes = batch.processes.iter().map(|process| process.start_us);
    let profiles = batch.profiles.iter().map(|profile| profile.start_us);
    let packed = packed.map(|packed| packed.span_us().1);
    (cells.chain(requests).chain(packed))
        .chain(processes)
        .chain(profiles)
        .max()
}

#[cfg(test)]
mod tests {
    use appweight_wire::pack_requests;

    use super::*;
    use crate::testing::{NOON, SECOND, batch, cell, request};

    fn ahead_of(sent: Option<&str>, newest_us: u64) -> Option<i64> {
        let mut headers = HeaderMap::new();
        if let Some(sent) = sent {
            headers.insert(SENT_US_HEADER, sent.parse().unwrap());
        }
        let mut batch = batch(1, 0, "a");
        batch.cells = vec![cell(NOON - 60 * SECOND, &[5]), cell(newest_us, &[5])];
        ahead(&headers, &batch, None, NOON)
    }

    #[test]
    fn a_client_that_says_when_it_sent_is_held_by_that() {
        let sent = |us: u64| ahead_of(Some(&us.to_string()), NOON - 3_600 * SECOND);
        assert_eq!(sent(NOON), None);
        assert_eq!(sent(NOON - 4 * SECOND), None, "on the way");
        assert_eq!(sent(NOON + 7 * SECOND), Some(7_000_000));
        assert_eq!(sent(NOON - 3_600 * SECOND), Some(-3_600_000_000));
        assert_eq!(sent(u64::MAX), None, "no time");
    }

    #[test]
    fn packed_records_of_the_future_tell_too() {
        let records = [request(NOON + 60 * SECOND, 5), request(NOON, 5)];
        let packed = PackedRequests::check(pack_requests(&records)).unwrap();
        let ahead_us = ahead(&HeaderMap::new(), &batch(1, 0, "a"), Some(&packed), NOON);
        assert_eq!(ahead_us, Some(60_000_000));
    }

    #[test]
    fn else_records_of_the_future_tell() {
        assert_eq!(ahead_of(None, NOON), None);
        assert_eq!(ahead_of(None, NOON - 86_400 * SECOND), None);
        assert_eq!(ahead_of(None, NOON + 60 * SECOND), Some(60_000_000));
        assert_eq!(ahead_of(Some("noon"), NOON + 60 * SECOND), Some(60_000_000));
    }
}
