use std::collections::BTreeMap;

use appweight_wire::InstructionSource;

use super::strata::{AFTER, BEFORE, is_usable, side_of};
use super::{CompareError, Question};
use crate::api::Metric;
use crate::evidence::PlacedCell;

/// Chooses what to compare and, for instructions, the one source whose cells are used: the one
/// with the most requests among those that both sides have. CPU time is compared over all cells.
pub(crate) fn choose(
    question: Question<'_>,
    cells: &[PlacedCell],
) -> Result<(Metric, Option<InstructionSource>), CompareError> {
    let deploys = [question.base, question.head];
    let mut found = [false; 2];
    let mut requests: BTreeMap<InstructionSource, [u64; 2]> = BTreeMap::new();
    for placed in cells.iter().filter(|placed| is_usable(placed)) {
        let Some(side) = side_of(placed, deploys) else {
            continue;
        };
        found[side] = true;
        if placed.cell.instructions.is_some()
            && placed.cell.key.instruction_source != InstructionSource::None
        {
            let of_source = requests
                .entry(placed.cell.key.instruction_source)
                .or_default();
            of_source[side] = of_source[side].saturating_add(placed.cell.n);
        }
    }
    for side in [BEFORE, AFTER] {
        if !found[side] {
            return Err(CompareError::NoCells(deploys[side].to_owned()));
        }
    }
    if question.metric == Some(Metric::Cpu) {
        return Ok((Metric::Cpu, None));
    }
    let common = requests
        .iter()
        .filter(|(_, sides)| sides.iter().all(|n| *n > 0))
        .max_by_key(|(_, sides)| sides[BEFORE].min(sides[AFTER]));
    let counted = |side: usize| {
        requests
            .iter()
            .find(|(_, sides)| sides[side] > 0)
            .map(|(source, _)| *source)
    };
    match (common, counted(BEFORE), counted(AFTER)) {
        (Some((source, _)), _, _) => Ok((Metric::Instructions, Some(*source))),
        (None, before, after)
            if question.metric == Some(Metric::Instructions)
                || (before.is_some() && after.is_some()) =>
        {
            Err(CompareError::MixedSources {
                base: question.base.to_owned(),
                base_source: name(before.unwrap_or_default()).to_owned(),
                head: question.head.to_owned(),
                head_source: name(after.unwrap_or_default()).to_owned(),
            })
        }
        _ => Ok((Metric::Cpu, None)),
    }
}

fn name(source: InstructionSource) -> &'static str {
    match source {
        InstructionSource::None => "none at all",
        InstructionSource::HardwareUser => "hardware, user mode only",
        InstructionSource::HardwareAll => "hardware, user mode and kernel",
        InstructionSource::Simulated => "simulated",
    }
}
