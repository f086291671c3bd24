use super::NewBatch;

/// When the first record of a batch begins and the last one ends.
pub(super) fn span(new: &NewBatch) -> Option<(u64, u64)> {
    let batch = &new.batch;
    let cells = batch
        .cells
        .iter()
        .map(|cell| (cell.key.start_us, cell.key.start_us + cell.key.width_us));
    let processes = batch.processes.iter().map(|process| {
        // A process whose first span is still short began after the span did.
        let end_us = process.start_us + process.width_us;
        (
            end_us - process.width_us.min(process.process_age_us),
            end_us,
        )
    });
    let requests = batch
        .requests
        .iter()
        .map(|request| (request.start_us, request.start_us));
    let profiles = batch
        .profiles
        .iter()
        .map(|profile| (profile.start_us, profile.start_us + profile.width_us));
    cells
        .chain(processes)
        .chain(requests)
        .chain(new.packed.as_ref().map(|packed| packed.span_us()))
        .chain(profiles)
        .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}
