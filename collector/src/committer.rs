//! Many clients' batches in one commit.
//!
//! A commit waits for the disk, which takes as long for a hundred batches as for one. So whatever came
//! while the last commit was made goes into the next one together, and is answered after it. Where a commit is dear
//! whatever its size, the next one waits a moment for as many as the last one had. What may wait is bounded by
//! memory: whoever finds no room is asked to come again.

use std::sync::{Arc, Mutex};

use appweight_wire::{Batch, Cell, Flag, ProcessRecord, RequestRecord};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::lock::lock;
use crate::metrics::Metrics;
use crate::store::{NewBatch, PutOutcome, Store, StoreError};

/// Batches that wait, however small they are.
const MOST_BATCHES: usize = 4_096;

/// Room is handed out in KiB.
const UNIT: usize = 1_024;

/// A byte of a body becomes some four as records in memory, until it is known what they are.
const GROWTH: usize = 4;

/// What a record takes beside itself: its texts, each with what the allocator adds.
const TEXTS: usize = 128;

/// Takes batches one by one and commits them in groups.
pub(crate) struct Committer {
    queue: Mutex<Option<mpsc::Sender<Waiting>>>,
    task: Mutex<Option<JoinHandle<()>>>,
    room: Arc<Semaphore>,
    units: usize,
    metrics: Arc<Metrics>,
}

struct Waiting {
    batch: NewBatch,
    seat: Seat,
    answer: oneshot::Sender<Result<PutOutcome, StoreError>>,
}

/// There is no room for another batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// Why a batch was not kept.
#[derive(Debug)]
pub(crate) enum NotKept {
    /// Too many wait already.
    Full,
    /// The store could not.
    Failed(StoreError),
}

/// Room for a batch, from before its body is read until it is committed.
pub(crate) struct Seat {
    room: Arc<Semaphore>,
    /// Units of all the room.
    most: usize,
    permit: OwnedSemaphorePermit,
}

impl Seat {
    /// Makes it as large as a batch may be in memory whose body had `bytes` before it was compressed.
    pub(crate) fn fit(&mut self, bytes: usize) -> Result<(), Full> {
        self.resize(bytes.saturating_mul(GROWTH))
    }

    /// Makes it as large as that batch is in memory. Records that were packed by columns are many times as
    /// large as they came: their texts were said once, and most of their numbers not at all.
    pub(crate) fn hold(&mut self, batch: &Batch) -> Result<(), Full> {
        let histograms = batch.cells.iter().flat_map(|cell| {
            [
                &cell.instructions,
                &cell.cpu_ns,
                &cell.wall_ns,
                &cell.allocated_bytes,
            ]
        });
        let buckets: usize = histograms
            .flatten()
            .map(|metric| metric.histogram.capacity() * size_of::<(u16, u64)>())
            .sum();
        let of_requests = batch.requests.iter();
        let of_requests = of_requests.map(|one| one.flags.len() + one.downstream.len());
        let of_processes = batch.processes.iter();
        let of_processes = of_processes.map(|one| one.endpoints.len() + one.counters.len());
        let facts: usize = of_requests.chain(of_processes).sum();
        let records = batch.requests.len() * (size_of::<RequestRecord>() + TEXTS)
            + batch.cells.len() * (size_of::<Cell>() + TEXTS)
            + batch.processes.len() * size_of::<ProcessRecord>()
            + facts * (size_of::<Flag>() + TEXTS);
        // Beside these there is little; what their texts take beyond the usual, they took in the body.
        let held = self.permit.num_permits() * UNIT;
        self.resize(held.max(records + buckets))
    }

    fn resize(&mut self, bytes: usize) -> Result<(), Full> {
        // The largest takes all the room there is, and is let in alone.
        let needed = units(bytes).min(self.most);
        let held = self.permit.num_permits();
        if needed > held {
            let more = u32::try_from(needed - held).map_err(|_| Full)?;
            let more = Arc::clone(&self.room).try_acquire_many_owned(more);
            self.permit.merge(more.map_err(|_| Full)?);
        } else {
            drop(self.permit.split(held - needed));
        }
        Ok(())
    }
}

impl Committer {
    /// Starts to take batches for that store. What waits takes up to `room` bytes, and never less than
    /// one batch of the largest body needs.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        room: usize,
        body_limit: usize,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(MOST_BATCHES);
        let least = body_limit.saturating_mul(GROWTH + 1);
        if room < least {
            tracing::warn!(
                "batches that wait may take {least} bytes, not the {room} of --queue-bytes: one of the largest takes as much"
            );
        }
        let units = units(room.max(least));
        Self {
            queue: Mutex::new(Some(queue)),
            task: Mutex::new(Some(tokio::spawn(commit_all(
                waiting,
                store,
                Arc::clone(&metrics),
            )))),
            room: Arc::new(Semaphore::new(units)),
            units,
            metrics,
        }
    }

    /// The memory that batches may take, and what of it is free, bytes.
    pub(crate) fn room_bytes(&self) -> (usize, usize) {
        let bytes = |units: usize| units.saturating_mul(UNIT);
        (bytes(self.units), bytes(self.room.available_permits()))
    }

    /// Room for a body of that many bytes as it is sent.
    pub(crate) fn seat(&self, bytes: usize) -> Result<Seat, Full> {
        let room = Arc::clone(&self.room);
        let needed = u32::try_from(units(bytes)).map_err(|_| Full)?;
        let permit = Arc::clone(&room).try_acquire_many_owned(needed);
        Ok(Seat {
            room,
            most: self.units,
            permit: permit.map_err(|_| Full)?,
        })
    }

    /// Keeps a batch, once. Returns after the commit; whoever does not wait for it may still find the
    /// batch kept.
    pub(crate) async fn put(&self, batch: NewBatch, seat: Seat) -> Result<PutOutcome, NotKept> {
        let cut = |why: &str| NotKept::Failed(StoreError::Cut(why.into()));
        let queue = lock(&self.queue).clone();
        let queue = queue.ok_or_else(|| cut("the collector ends"))?;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            batch,
            seat,
            answer,
        };
        self.metrics.queued(1);
        if queue.try_send(waiting).is_err() {
            self.metrics.queued(-1);
            return Err(NotKept::Full);
        }
        drop(queue);
        let outcome = answered.await.map_err(|_| cut("the commit was given up"))?;
        outcome.map_err(NotKept::Failed)
    }

    /// Takes no more batches, and returns when those that wait are committed.
    pub(crate) async fn drain(&self) {
        drop(lock(&self.queue).take());
        let task = lock(&self.task).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the last batches were not committed");
        }
    }
}

async fn commit_all(
    mut waiting: mpsc::Receiver<Waiting>,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
) {
    let grouping = store.grouping();
    let mut before = 0;
    while let Some(first) = waiting.recv().await {
        let patience = Instant::now() + grouping.patience;
        let (mut batches, mut answers) = (Vec::new(), Vec::new());
        let mut records = 0;
        let mut next = Some(first);
        while let Some(Waiting {
            batch,
            seat,
            answer,
        }) = next
        {
            records += batch.records();
            batches.push(batch);
            answers.push((answer, seat));
            next = if records >= grouping.most_records {
                None
            } else if batches.len() < before {
                // Who was answered by the last commit sends the next batch about now, one a little after the other.
                timeout_at(patience, waiting.recv()).await.ok().flatten()
            } else {
                waiting.try_recv().ok()
            };
        }
        before = batches.len();
        metrics.queued(-(batches.len() as i64));
        metrics.grouped(batches.len());
        let outcomes = store.put_batches(batches).await;
        for ((answer, seat), outcome) in answers.into_iter().zip(outcomes) {
            drop(seat);
            // Whoever has gone away sends the batch again, and is told then.
            let _ = answer.send(outcome);
        }
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT).max(1)
}

#[cfg(test)]
mod tests;
