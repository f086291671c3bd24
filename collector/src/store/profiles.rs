//! Profiles as they are kept: added up by what they are of, and bounded.

use std::collections::BTreeMap;

use appweight::api::{ProfileOf, ProfileSummary};
use appweight::profile::{Profile, REPLICATES, of_record, prune};
use appweight_wire::{Batch, InstructionSource, ProfileRecord, TimerValues};
use uuid::Uuid;

/// Nodes of one replicate that are kept when there are too many: the costliest.
pub(super) const KEPT_NODES: usize = 4_000;
/// Nodes from which on there are too many. Twice as many as are kept, so that what is seen seldom has time to add up
/// before it is weighed again.
pub(super) const MOST_NODES: usize = 2 * KEPT_NODES;

/// Where a part of a profile is kept: what it is of, and the replicate.
pub(crate) type Place = (ProfileOf, u8);

/// A part of a profile: one of its replicates, added up so far.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(super) from_us: u64,
    pub(super) until_us: u64,
    pub(super) lost_samples: u64,
    pub(super) tree: Profile,
}

impl Part {
    /// Adds what came later, or earlier.
    pub(super) fn add(&mut self, other: &Self) {
        self.from_us = self.from_us.min(other.from_us);
        self.until_us = self.until_us.max(other.until_us);
        self.lost_samples = self.lost_samples.saturating_add(other.lost_samples);
        add_bounded(&mut self.tree, &other.tree, KEPT_NODES, MOST_NODES);
    }
}

fn add_bounded(tree: &mut Profile, other: &Profile, kept: usize, most: usize) {
    tree.merge(other);
    if tree.nodes().len() > most {
        *tree = prune(tree, kept);
    }
}

/// The profiles of a batch, added up by where they are kept.
pub(super) fn parts_of(batch: &Batch) -> BTreeMap<Place, Part> {
    let mut parts: BTreeMap<Place, Part> = BTreeMap::new();
    for record in &batch.profiles {
        let replicate = replicate_of(batch.source, record);
        for timer in &record.timers {
            let part = part_of(record, timer, replicate);
            match parts.get_mut(&(of(record, timer), replicate)) {
                Some(sum) => sum.add(&part),
                None => {
                    parts.insert((of(record, timer), replicate), part);
                }
            }
        }
    }
    parts
}

fn of(record: &ProfileRecord, timer: &TimerValues) -> ProfileOf {
    ProfileOf {
        endpoint: record.endpoint.clone(),
        kind: record.kind,
        timer: timer.name.clone(),
        unit: timer.unit.clone(),
        taken: record.taken,
        instruction_source: if timer.name == "instructions" {
            record.instruction_source
        } else {
            InstructionSource::None
        },
        age: record.age,
    }
}

fn part_of(record: &ProfileRecord, timer: &TimerValues, replicate: u8) -> Part {
    Part {
        from_us: record.start_us,
        until_us: record.start_us.saturating_add(record.width_us),
        lost_samples: record.lost_samples,
        tree: of_record(record, timer, usize::from(replicate)),
    }
}

/// Replicates are spans of time of processes, dealt out in turn: a single process fills all of them in as many spans,
/// and what moves all requests of a span of a process together is seen as the spread between them.
fn replicate_of(source: Uuid, record: &ProfileRecord) -> u8 {
    const COUNT: u64 = REPLICATES as u64;
    let process = (source.as_u128() % u128::from(COUNT)) as u64;
    let span = record.start_us / record.width_us.max(1);
    ((process + span % COUNT) % COUNT) as u8
}

/// The replicates of one profile as one summary.
pub(super) fn unite(all: &mut Vec<ProfileSummary>, next: ProfileSummary) {
    match all.last_mut() {
        Some(last) if last.of == next.of => {
            last.requests = last.requests.saturating_add(next.requests);
            last.samples = last.samples.saturating_add(next.samples);
            last.lost_samples = last.lost_samples.saturating_add(next.lost_samples);
            last.from_us = last.from_us.min(next.from_us);
            last.until_us = last.until_us.max(next.until_us);
        }
        _ => all.push(next),
    }
}

#[cfg(test)]
mod tests {
    use appweight::profile::{Function, Timer};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{NOON, SECOND, batch, profile};

    #[test]
    fn a_process_fills_all_replicates_in_as_many_spans() {
        let mut all: Vec<u8> = (0..REPLICATES as u64)
            .map(|span| replicate_of(Uuid::from_u128(7), &profile(NOON + span * SECOND, &[])))
            .collect();
        all.sort_unstable();
        assert_eq!(all, (0..REPLICATES as u8).collect::<Vec<_>>());
        // Another process begins elsewhere.
        let now = profile(NOON, &[]);
        assert_ne!(
            replicate_of(Uuid::from_u128(7), &now),
            replicate_of(Uuid::from_u128(8), &now)
        );
    }

    #[test]
    fn each_timer_has_a_part_and_instructions_alone_have_a_source() {
        let mut record = profile(NOON, &[("feed", 5)]);
        record.instruction_source = InstructionSource::HardwareUser;
        record.timers.push(TimerValues {
            name: "instructions".into(),
            unit: "instructions".into(),
            ..record.timers[0].clone()
        });
        let mut batch = batch(1, 0, "a");
        batch.profiles = vec![record.clone(), record];
        let parts = parts_of(&batch);
        let facts: Vec<_> = parts
            .iter()
            .map(|((of, _), part)| {
                (
                    of.timer.as_str(),
                    of.instruction_source,
                    part.tree.requests(),
                    part.tree.total(),
                )
            })
            .collect();
        assert_eq!(
            facts,
            [
                ("cpu", InstructionSource::None, 2, 10),
                ("instructions", InstructionSource::HardwareUser, 2, 10)
            ]
        );
    }

    /// A request's tree of a few chains of calls.
    fn request() -> impl Strategy<Value = Profile> {
        let stack = prop::collection::vec(0_u8..6, 1..4);
        prop::collection::vec((stack, 1_i64..1_000), 1..6).prop_map(|stacks| {
            let mut profile = Profile::new(Timer::new("cpu", "ns"));
            for (stack, own) in stacks {
                let node = stack.iter().fold(profile.root(), |node, name| {
                    profile.child(node, &Function::named(&name.to_string()))
                });
                profile.add(node, 1, own);
            }
            profile.count(1, 0);
            profile
        })
    }

    proptest! {
        #[test]
        fn in_any_order_it_is_bounded_and_nothing_is_lost(
            requests in prop::collection::vec(request(), 1..40).prop_shuffle(),
            kept in 2_usize..12,
        ) {
            let mut sum = Profile::new(Timer::new("cpu", "ns"));
            let mut whole = sum.clone();
            for request in &requests {
                add_bounded(&mut sum, request, kept, 2 * kept);
                whole.merge(request);
                prop_assert!(sum.nodes().len() <= 2 * kept);
            }
            prop_assert_eq!(sum.total(), whole.total());
            prop_assert_eq!(sum.requests(), requests.len() as u64);
            let gone = whole.nodes().len() - sum.nodes().len();
            prop_assert!(sum.folded() >= gone as u64, "{} folded, {gone} gone", sum.folded());
            if whole.nodes().len() <= 2 * kept {
                prop_assert_eq!(sum.folded(), 0);
            }
        }
    }
}
