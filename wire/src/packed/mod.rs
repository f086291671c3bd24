//! The request records of a batch by columns, in which what repeats is said once.
//!
//! Few records share a batch, so that the names of their fields would cost more than what is in them.
//! `docs/wire.md` ("Packed request records") has the form byte by byte.

mod checked;
mod columns;
mod distribution;
mod numbers;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

pub use self::checked::PackedRequests;
use self::columns::{Column, Reader};
use self::numbers::{put, take, take_text};
use crate::{Age, Downstream, Flag, InstructionSource, Kind, RequestRecord, limits};

/// Request records as they are read from packed bytes.
#[derive(Debug, Default)]
pub(crate) struct Unpacked(pub(crate) Vec<RequestRecord>);

/// Packed bytes that nobody looked at, if there were any.
#[derive(Debug, Default)]
pub(crate) struct Unread(pub(crate) Option<Vec<u8>>);

/// Request records that are written as packed bytes.
#[derive(Debug)]
pub(crate) struct Packed<'a>(pub(crate) &'a [RequestRecord]);

/// What no good client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the packed records break off")]
    BreaksOff,
    #[error("a number is longer than 64 bits")]
    TooLong,
    #[error("a text is not UTF-8")]
    NoText,
    #[error("a column is of no known mode")]
    NoMode,
    #[error("a value is none that its column may have")]
    NoValue,
    #[error("more records, facts or texts than a batch may hold")]
    TooMany,
}

/// Sets a record's field to the value of its column.
type Set<'a> = &'a mut dyn FnMut(&mut RequestRecord, Option<u64>) -> Result<(), Broken>;

/// Texts of all records together, each as often as it is used: a bound on what few bytes can become.
const EXPANDED_BYTES: usize = 16 << 20;

/// All texts that occur, each once.
#[derive(Debug, Default)]
struct Texts<'a> {
    known: Vec<&'a str>,
    numbers: HashMap<&'a str, u64>,
    last: Option<(&'a str, u64)>,
}

impl<'a> Texts<'a> {
    fn number(&mut self, text: &'a str) -> u64 {
        // Methods, for one, are nearly always the same.
        if let Some((last, number)) = self.last
            && last == text
        {
            return number;
        }
        let next = self.known.len() as u64;
        let number = *self.numbers.entry(text).or_insert_with(|| {
            self.known.push(text);
            next
        });
        self.last = Some((text, number));
        number
    }
}

pub(crate) fn pack(records: &[RequestRecord]) -> Vec<u8> {
    let mut texts = Texts::default();
    let mut columns = Vec::new();
    let mut column = |value: &mut dyn FnMut(&RequestRecord) -> Option<u64>| {
        Column::of(records.iter().map(value)).put(&mut columns);
    };
    let mut names: Vec<Option<u64>> = Vec::new();
    for record in records {
        names.push(Some(texts.number(&record.endpoint)));
    }
    let mut methods: Vec<Option<u64>> = Vec::new();
    for record in records {
        methods.push(record.method.as_deref().map(|method| texts.number(method)));
    }
    let mut before = 0;
    column(&mut |record| Some(kind_number(record.kind)));
    column(&mut |record| Some(difference(record.start_us, &mut before)));
    let mut next = names.into_iter();
    column(&mut |_| next.next().flatten());
    let mut next = methods.into_iter();
    column(&mut |_| next.next().flatten());
    column(&mut |record| record.status.map(u64::from));
    column(&mut |record| Some(record.error.into()));
    column(&mut |record| Some(record.unfinished.into()));
    column(&mut |record| Some(record.weight));
    column(&mut |record| Some(age_number(record.age)));
    column(&mut |record| record.instructions);
    column(&mut |record| Some(source_number(record.instruction_source)));
    column(&mut |record| Some(record.scaled.into()));
    column(&mut |record| record.cpu_ns);
    column(&mut |record| Some(record.wall_ns));
    let mut before = 0;
    column(&mut |record| Some(difference(record.rss_start_bytes?, &mut before)));
    let mut before = 0;
    column(&mut |record| Some(difference(record.rss_end_bytes?, &mut before)));
    column(&mut |record| record.allocated_bytes);
    column(&mut |record| record.allocations);
    column(&mut |record| Some(record.polls));
    column(&mut |record| Some(record.thread_hops));
    column(&mut |record| Some(record.downstream.len() as u64));
    column(&mut |record| Some(record.flags.len() as u64));
    let downstreams = || records.iter().flat_map(|record| &record.downstream);
    Column::of(downstreams().map(|(name, _)| Some(texts.number(name)))).put(&mut columns);
    Column::of(downstreams().map(|(_, spent)| Some(spent.calls))).put(&mut columns);
    Column::of(downstreams().map(|(_, spent)| Some(spent.wall_ns))).put(&mut columns);
    let flags = || records.iter().flat_map(|record| &record.flags);
    Column::of(flags().map(|flag| Some(texts.number(&flag.name)))).put(&mut columns);
    Column::of(flags().map(|flag| Some(texts.number(&flag.value)))).put(&mut columns);

    let mut packed = Vec::with_capacity(columns.len() + 256);
    put(&mut packed, records.len() as u64);
    put(&mut packed, texts.known.len() as u64);
    for text in texts.known {
        put(&mut packed, text.len() as u64);
        packed.extend_from_slice(text.as_bytes());
    }
    packed.extend(columns);
    packed
}

pub(crate) fn unpack(mut packed: &[u8]) -> Result<Vec<RequestRecord>, Broken> {
    let rest = &mut packed;
    let count = take_count(rest)?;
    let texts = take_count(rest)?;
    // Each takes a byte at least.
    if texts > rest.len() {
        return Err(Broken::BreaksOff);
    }
    let texts: Vec<&str> = (0..texts)
        .map(|_| take_text(rest))
        .collect::<Result<_, _>>()?;
    let mut expanded = 0_usize;
    let mut text = |number: u64| -> Result<String, Broken> {
        let number = usize::try_from(number).map_err(|_| Broken::NoValue)?;
        let text = *texts.get(number).ok_or(Broken::NoValue)?;
        expanded += text.len();
        if expanded > EXPANDED_BYTES {
            return Err(Broken::TooMany);
        }
        Ok(text.to_owned())
    };
    let mut records = vec![RequestRecord::default(); count];
    let mut column = |set: Set<'_>| {
        let mut column = Reader::begin(rest)?;
        let mut all = records.iter_mut();
        if column.is_nothing()
            && let Some(first) = all.next()
        {
            let before = first.clone();
            set(first, column.next(rest)?)?;
            if *first == before {
                // As all of them are already: so it is with most columns.
                return Ok(());
            }
        }
        for record in all {
            set(record, column.next(rest)?)?;
        }
        Ok(())
    };
    let needed = |value: Option<u64>| value.ok_or(Broken::NoValue);
    let flag = |value: Option<u64>| match value {
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        _ => Err(Broken::NoValue),
    };
    column(&mut |record, value| {
        record.kind = kind(needed(value)?)?;
        Ok(())
    })?;
    let mut before = 0;
    column(&mut |record, value| {
        record.start_us = sum(needed(value)?, &mut before);
        Ok(())
    })?;
    column(&mut |record, value| {
        record.endpoint = text(needed(value)?)?;
        Ok(())
    })?;
    column(&mut |record, value| {
        record.method = value.map(&mut text).transpose()?;
        Ok(())
    })?;
    column(&mut |record, value| {
        let status = value.map(u16::try_from).transpose();
        record.status = status.map_err(|_| Broken::NoValue)?;
        Ok(())
    })?;
    column(&mut |record, value| {
        record.error = flag(value)?;
        Ok(())
    })?;
    column(&mut |record, value| {
        record.unfinished = flag(value)?;
        Ok(())
    })?;
    column(&mut |record, value| {
        record.weight = needed(value)?;
        Ok(())
    })?;
    column(&mut |record, value| {
        record.age = age(needed(value)?)?;
        Ok(())
    })?;
    column(&mut |record, value| {
        record.instructions = value;
        Ok(())
    })?;
    column(&mut |record, value| {
        record.instruction_source = source(needed(value)?)?;
        Ok(())
    })?;
    column(&mut |record, value| {
        record.scaled = flag(value)?;
        Ok(())
    })?;
    column(&mut |record, value| {
        record.cpu_ns = value;
        Ok(())
    })?;
    column(&mut |record, value| {
        record.wall_ns = needed(value)?;
        Ok(())
    })?;
    let mut before = 0;
    column(&mut |record, value| {
        record.rss_start_bytes = value.map(|value| sum(value, &mut before));
        Ok(())
    })?;
    let mut before = 0;
    column(&mut |record, value| {
        record.rss_end_bytes = value.map(|value| sum(value, &mut before));
        Ok(())
    })?;
    column(&mut |record, value| {
        record.allocated_bytes = value;
        Ok(())
    })?;
    column(&mut |record, value| {
        record.allocations = value;
        Ok(())
    })?;
    column(&mut |record, value| {
        record.polls = needed(value)?;
        Ok(())
    })?;
    column(&mut |record, value| {
        record.thread_hops = needed(value)?;
        Ok(())
    })?;
    let mut downstreams = Facts::default();
    for value in Reader::all(rest, count)? {
        downstreams.add(needed(value)?)?;
    }
    let mut flags = Facts::default();
    for value in Reader::all(rest, count)? {
        flags.add(needed(value)?)?;
    }

    let all = downstreams.all;
    let [names, calls, walls] = [(); 3].map(|()| Reader::all(rest, all));
    let (mut names, mut calls, mut walls) =
        (names?.into_iter(), calls?.into_iter(), walls?.into_iter());
    for (record, facts) in records.iter_mut().zip(downstreams.of_each) {
        for _ in 0..facts {
            let spent = Downstream {
                calls: needed(calls.next().flatten())?,
                wall_ns: needed(walls.next().flatten())?,
            };
            let name = text(needed(names.next().flatten())?)?;
            record.downstream.insert(name, spent);
        }
    }
    let all = flags.all;
    let [names, values] = [(); 2].map(|()| Reader::all(rest, all));
    let (mut names, mut values) = (names?.into_iter(), values?.into_iter());
    for (record, facts) in records.iter_mut().zip(flags.of_each) {
        for _ in 0..facts {
            record.flags.push(Flag {
                name: text(needed(names.next().flatten())?)?,
                value: text(needed(values.next().flatten())?)?,
            });
        }
    }
    // Columns of later versions follow.
    Ok(records)
}

/// How many records or texts there are.
fn take_count(rest: &mut &[u8]) -> Result<usize, Broken> {
    let count = usize::try_from(take(rest)?).unwrap_or(usize::MAX);
    if count > limits::RECORDS {
        return Err(Broken::TooMany);
    }
    Ok(count)
}

/// How many facts of a kind each record has, and all of them together.
#[derive(Debug, Default)]
struct Facts {
    of_each: Vec<usize>,
    all: usize,
}

impl Facts {
    fn add(&mut self, more: u64) -> Result<(), Broken> {
        let more = usize::try_from(more).unwrap_or(usize::MAX);
        self.all = self.all.saturating_add(more);
        if more > limits::FACTS || self.all > limits::RECORDS {
            return Err(Broken::TooMany);
        }
        self.of_each.push(more);
        Ok(())
    }
}

/// How far it is from the one before, so that small steps take few bytes in either direction.
fn difference(value: u64, before: &mut u64) -> u64 {
    let step = value
        .wrapping_sub(std::mem::replace(before, value))
        .cast_signed();
    ((step << 1) ^ (step >> 63)).cast_unsigned()
}

/// The value that is so far from the one before.
fn sum(step: u64, before: &mut u64) -> u64 {
    let step = (step >> 1) ^ (step & 1).wrapping_neg();
    *before = before.wrapping_add(step);
    *before
}

fn kind_number(kind: Kind) -> u64 {
    match kind {
        Kind::Request => 0,
        Kind::Task => 1,
    }
}

fn kind(number: u64) -> Result<Kind, Broken> {
    match number {
        0 => Ok(Kind::Request),
        1 => Ok(Kind::Task),
        _ => Err(Broken::NoValue),
    }
}

fn age_number(age: Age) -> u64 {
    match age {
        Age::WarmingUp => 0,
        Age::Warm => 1,
    }
}

fn age(number: u64) -> Result<Age, Broken> {
    match number {
        0 => Ok(Age::WarmingUp),
        1 => Ok(Age::Warm),
        _ => Err(Broken::NoValue),
    }
}

fn source_number(source: InstructionSource) -> u64 {
    match source {
        InstructionSource::None => 0,
        InstructionSource::HardwareUser => 1,
        InstructionSource::HardwareAll => 2,
        InstructionSource::Simulated => 3,
    }
}

fn source(number: u64) -> Result<InstructionSource, Broken> {
    match number {
        0 => Ok(InstructionSource::None),
        1 => Ok(InstructionSource::HardwareUser),
        2 => Ok(InstructionSource::HardwareAll),
        3 => Ok(InstructionSource::Simulated),
        _ => Err(Broken::NoValue),
    }
}

impl Serialize for Packed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&pack(self.0))
    }
}

impl<'de> Deserialize<'de> for Unpacked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Bytes(|bytes| unpack(bytes).map(Self)))
    }
}

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Bytes(|bytes| Ok(Self(Some(bytes.to_vec())))))
    }
}

/// Makes something of bytes.
struct Bytes<T>(fn(&[u8]) -> Result<T, Broken>);

impl<T> Visitor<'_> for Bytes<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("packed request records as bytes, which MessagePack alone has")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<T, E> {
        (self.0)(bytes).map_err(E::custom)
    }
}
