//! Packed request records that stay as they came: checked column by column, without making a record of any.

use super::columns::Reader;
use super::numbers::take_text;
use super::{EXPANDED_BYTES, age, kind, source, sum, take_count};
use crate::validate::{is_count, is_name, is_status, is_time};
use crate::{DecodeError, RequestRecord, limits};

/// Request records as they came packed, checked, and what a store writes beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedRequests {
    bytes: Vec<u8>,
    count: usize,
    texts: usize,
    first_us: u64,
    last_us: u64,
    costliest: (Option<u64>, Option<u64>),
    endpoints: Vec<String>,
}

impl PackedRequests {
    /// Checks packed request records as [`decode_batch`](crate::decode_batch) checks those of a batch whose cells hold the
    /// counts. `None` if it refuses them, or if there are none: only who unpacks them can say why.
    #[must_use]
    pub fn check(bytes: Vec<u8>) -> Option<Self> {
        let rest = &mut bytes.as_slice();
        let count = take_count(rest).ok().filter(|count| *count > 0)?;
        let mut texts = Texts::read(rest)?;

        each(rest, count, |value, _| kind(value?).ok().map(drop))?;
        let (mut first_us, mut last_us, mut before) = (u64::MAX, 0, 0);
        let mut starts = Reader::begin(rest).ok()?;
        for _ in 0..count {
            let start_us = sum(starts.next(rest).ok()??, &mut before);
            first_us = first_us.min(start_us);
            last_us = last_us.max(start_us);
        }
        if !is_time(first_us) || !is_time(last_us) {
            return None;
        }
        each(rest, count, |value, times| {
            let endpoint = texts.used(value?, times)?;
            endpoint.is_endpoint = true;
            endpoint.is_name.then_some(())
        })?;
        // The method.
        each(rest, count, |value, times| match value {
            None => Some(()),
            Some(number) => texts.used(number, times)?.is_name.then_some(()),
        })?;
        each(rest, count, |value, _| {
            value.is_none_or(is_status).then_some(())
        })?;
        let flag = |value, _| matches!(value, Some(0 | 1)).then_some(());
        let needed = |value: Option<u64>, _| value.map(drop);
        let any = |_, _| Some(());
        // Whether it failed, and whether it was unfinished.
        each(rest, count, flag)?;
        each(rest, count, flag)?;
        // The weight.
        each(rest, count, |value, _| is_count(value?).then_some(()))?;
        each(rest, count, |value, _| age(value?).ok().map(drop))?;
        let instructions = Reader::all(rest, count).ok()?;
        each(rest, count, |value, _| source(value?).ok().map(drop))?;
        // Whether it was scaled.
        each(rest, count, flag)?;
        let cpu_ns = Reader::all(rest, count).ok()?;
        // Wall time.
        each(rest, count, needed)?;
        // Resident memory before and after, and what was allocated.
        for _ in 0..4 {
            each(rest, count, any)?;
        }
        // Polls and changes of the thread.
        each(rest, count, needed)?;
        each(rest, count, needed)?;
        let downstreams = facts(rest, count)?;
        let flags = facts(rest, count)?;
        each(rest, downstreams, |value, times| {
            texts.used(value?, times)?.is_name.then_some(())
        })?;
        each(rest, downstreams, needed)?;
        each(rest, downstreams, needed)?;
        each(rest, flags, |value, times| {
            texts.used(value?, times)?.is_name.then_some(())
        })?;
        each(rest, flags, |value, times| {
            let value = texts.used(value?, times)?;
            (value.is_name || value.text.is_empty()).then_some(())
        })?;
        // Columns of later versions follow.

        let costs = instructions.into_iter().zip(cpu_ns);
        Some(Self {
            count,
            texts: 2 * count + downstreams + 2 * flags,
            first_us,
            last_us,
            costliest: costs.max()?,
            endpoints: texts.endpoints(),
            bytes,
        })
    }

    /// As they came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many they are: one at least.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "they are never none")]
    pub fn len(&self) -> usize {
        self.count
    }

    /// How many texts they say at most, each as often as it is said.
    #[must_use]
    pub fn texts(&self) -> usize {
        self.texts
    }

    /// When the first and the last one began, µs.
    #[must_use]
    pub fn span_us(&self) -> (u64, u64) {
        (self.first_us, self.last_us)
    }

    /// Instructions and CPU time of the one with the most of the former, of equal ones with the most of the latter; what is
    /// absent is below all else.
    #[must_use]
    pub fn costliest(&self) -> (Option<u64>, Option<u64>) {
        self.costliest
    }

    /// Their endpoints, each once.
    pub fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.endpoints.iter().map(String::as_str)
    }

    /// The records.
    ///
    /// # Errors
    /// Never: what was checked can be unpacked.
    pub fn unpack(&self) -> Result<Vec<RequestRecord>, DecodeError> {
        crate::unpack_requests(&self.bytes)
    }
}

/// A text that records may use.
struct Text<'a> {
    text: &'a str,
    is_name: bool,
    is_endpoint: bool,
}

struct Texts<'a> {
    all: Vec<Text<'a>>,
    /// Bytes of those that records use, each as often as it is used.
    expanded: usize,
}

impl<'a> Texts<'a> {
    fn read(rest: &mut &'a [u8]) -> Option<Self> {
        let count = take_count(rest).ok()?;
        // Each takes a byte at least.
        if count > rest.len() {
            return None;
        }
        let text = |_| {
            let text = take_text(rest).ok()?;
            Some(Text {
                text,
                is_name: is_name(text),
                is_endpoint: false,
            })
        };
        Some(Self {
            all: (0..count).map(text).collect::<Option<_>>()?,
            expanded: 0,
        })
    }

    /// A text that is used so many times.
    fn used(&mut self, number: u64, times: usize) -> Option<&mut Text<'a>> {
        let text = self.all.get_mut(usize::try_from(number).ok()?)?;
        self.expanded += text.text.len() * times;
        (self.expanded <= EXPANDED_BYTES).then_some(text)
    }

    fn endpoints(&self) -> Vec<String> {
        let endpoints = self.all.iter().filter(|text| text.is_endpoint);
        endpoints.map(|text| text.text.to_owned()).collect()
    }
}

/// Looks at each value of a column, and at one that all records have once for so many times.
fn each(
    rest: &mut &[u8],
    count: usize,
    mut look: impl FnMut(Option<u64>, usize) -> Option<()>,
) -> Option<()> {
    let mut column = Reader::begin(rest).ok()?;
    let (looks, times) = match column {
        Reader::Same(_) => (count.min(1), count),
        Reader::Each | Reader::Some => (count, 1),
    };
    for _ in 0..looks {
        look(column.next(rest).ok()?, times)?;
    }
    Some(())
}

/// How many facts of a kind all records have together.
fn facts(rest: &mut &[u8], count: usize) -> Option<usize> {
    let mut all = 0;
    each(rest, count, |value, times| {
        let more = usize::try_from(value?).ok()?;
        if more > limits::FACTS {
            return None;
        }
        all += more * times;
        (all <= limits::RECORDS).then_some(())
    })?;
    Some(all)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::tests::record;
    use super::*;
    use crate::packed::{pack, unpack};
    use crate::validate::Validate;
    use crate::{Batch, Content, Origin, VERSION};

    fn batch(requests: Vec<RequestRecord>) -> Batch {
        Batch {
            version: VERSION,
            source: uuid::Uuid::from_u128(1),
            sequence: 0,
            origin: Origin {
                service: "photos".into(),
                deploy: "8f2c1a9".into(),
                host: "web-1".into(),
                ..Origin::default()
            },
            content: Content::Cells,
            cell_width_us: None,
            cells: Vec::new(),
            requests,
            processes: Vec::new(),
            profiles: Vec::new(),
        }
    }

    /// Most are as they have to be.
    fn nearly_sound() -> impl Strategy<Value = RequestRecord> {
        (record(), any::<u8>()).prop_map(|(mut record, but)| {
            if but != 0 {
                record.start_us = limits::TIME_US_MIN + record.start_us % 1_000_000_000;
            }
            if but != 1 {
                record.status = record.status.map(|status| 100 + status % 900);
            }
            if but != 5 {
                record.weight %= limits::COUNT + 1;
            }
            if but != 2 && record.endpoint.is_empty() {
                record.endpoint = "/".into();
            }
            if but != 3 {
                record.method = record.method.filter(|method| !method.is_empty());
            }
            if but != 4 {
                record.downstream.remove("");
                record.flags.retain(|flag| !flag.name.is_empty());
            }
            record
        })
    }

    /// What was checked is what is said of it.
    fn holds(packed: &PackedRequests) -> Result<(), TestCaseError> {
        let records = packed.unpack().unwrap();
        prop_assert!(batch(records.clone()).validate().is_ok());
        prop_assert_eq!(packed.len(), records.len());
        let starts = || records.iter().map(|record| record.start_us);
        let span_us = (starts().min().unwrap(), starts().max().unwrap());
        prop_assert_eq!(packed.span_us(), span_us);
        let costs = records
            .iter()
            .map(|record| (record.instructions, record.cpu_ns));
        prop_assert_eq!(packed.costliest(), costs.max().unwrap());
        let texts = records
            .iter()
            .map(|record| 2 + record.downstream.len() + 2 * record.flags.len());
        prop_assert!(packed.texts() >= texts.sum());
        for record in &records {
            prop_assert!(packed.endpoints().any(|name| name == record.endpoint));
        }
        for name in packed.endpoints() {
            prop_assert!(records.iter().any(|record| record.endpoint == name));
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn those_are_taken_that_are_taken_one_by_one(
            records in prop_oneof![vec(nearly_sound(), 0..20), vec(record(), 0..3)],
        ) {
            let checked = PackedRequests::check(pack(&records));
            let sound = !records.is_empty() && batch(records.clone()).validate().is_ok();
            prop_assert_eq!(checked.is_some(), sound);
            if let Some(packed) = checked {
                prop_assert_eq!(packed.unpack().unwrap(), records);
                holds(&packed)?;
            }
        }

        #[test]
        fn broken_bytes_are_refused_or_hold_what_is_said(
            records in vec(nearly_sound(), 1..6),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = pack(&records);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Some(packed) = PackedRequests::check(bytes) {
                holds(&packed)?;
            }
        }
    }

    #[test]
    fn few_bytes_never_become_more_than_a_batch_may_hold() {
        let many = |name: String| RequestRecord {
            endpoint: name,
            start_us: limits::TIME_US_MIN,
            ..RequestRecord::default()
        };
        let name = "n".repeat(limits::NAME_BYTES);
        let fit = EXPANDED_BYTES / limits::NAME_BYTES;
        for (count, taken) in [(fit, true), (fit + 1, false)] {
            let bytes = pack(&vec![many(name.clone()); count]);
            assert_eq!(unpack(&bytes).is_ok(), taken);
            assert_eq!(PackedRequests::check(bytes).is_some(), taken);
        }
    }
}
