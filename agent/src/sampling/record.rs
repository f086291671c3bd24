//! What the kernel writes into the ring of a sampling event.

/// A record, as far as it is used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// A stack.
    Sample(Sample<'a>),
    /// So many samples found no room in the ring.
    Lost(u64),
    /// The kernel takes no more samples for a moment, because they took too much of the CPU.
    Throttled,
}

/// A stack and when it was seen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sample<'a> {
    /// By the monotonic clock, ns.
    pub(super) at_ns: u64,
    /// As the kernel gives it: the innermost first, markers among them.
    chain: &'a [u64],
}

/// Addresses beyond are no addresses, but say what the following ones are (`PERF_CONTEXT_MAX`).
const MARKERS: u64 = -4_095_i64 as u64;
/// What follows are addresses of the user's.
const USER: u64 = -512_i64 as u64;

const LOST: u32 = 2;
const THROTTLE: u32 = 5;
const SAMPLE: u32 = 9;

/// Bytes and words of a record that begins with that word.
pub(super) fn words(head: u64) -> usize {
    // The record's kind, some flags, and its size in the uppermost 16 bits.
    usize::from((head >> 48) as u16) / size_of::<u64>()
}

/// Reads a record of an event that samples thread, time and call chain, in that order.
pub(super) fn parse(words: &[u64]) -> Option<Record<'_>> {
    match (*words.first()? as u32, words) {
        (SAMPLE, [_, _thread, at_ns, frames, chain @ ..]) => Some(Record::Sample(Sample {
            at_ns: *at_ns,
            chain: chain.get(..usize::try_from(*frames).ok()?)?,
        })),
        (LOST, [_, _event, lost, ..]) => Some(Record::Lost(*lost)),
        (THROTTLE, _) => Some(Record::Throttled),
        _ => None,
    }
}

impl<'a> Sample<'a> {
    /// The user's addresses, innermost first: where it was, then where each caller goes on.
    pub(super) fn addresses(&self) -> impl Iterator<Item = u64> + use<'a> {
        let mut of_user = false;
        self.chain.iter().copied().filter(move |address| {
            if *address >= MARKERS {
                of_user = *address == USER;
                return false;
            }
            of_user
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: u64 = -128_i64 as u64;

    fn head(kind: u32, words: u64) -> u64 {
        u64::from(kind) | (2 << 32) | ((words * 8) << 48)
    }

    #[test]
    fn a_sample_is_its_time_and_the_user_s_addresses() {
        let record = [head(SAMPLE, 9), 7, 1_000, 5, KERNEL, 1, USER, 0x10, 0x20];
        assert_eq!(words(record[0]), record.len());
        let Some(Record::Sample(sample)) = parse(&record) else {
            panic!("no sample");
        };
        assert_eq!(sample.at_ns, 1_000);
        assert_eq!(sample.addresses().collect::<Vec<_>>(), [0x10, 0x20]);
    }

    #[test]
    fn what_is_lost_is_told_and_what_is_cut_short_is_no_record() {
        assert_eq!(parse(&[head(LOST, 3), 1, 17]), Some(Record::Lost(17)));
        assert_eq!(
            parse(&[head(THROTTLE, 4), 0, 0, 0]),
            Some(Record::Throttled)
        );
        assert_eq!(parse(&[head(SAMPLE, 5), 7, 1_000, 2, USER]), None);
        assert_eq!(parse(&[head(SAMPLE, 5), 7, 1_000, u64::MAX, USER]), None);
        assert_eq!(parse(&[head(1, 2), 7]), None);
        assert_eq!(parse(&[]), None);
    }
}
