//! Decoding batches. What a body becomes in memory may be twenty times as long as its bytes, and how long is known only
//! afterwards: large ones are decoded one at a time, where no other request waits for it.

use appweight_wire::{Batch, DecodeError, Format, PackedRequests, decode_batch_and_packed};
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::committer::Seat;
use crate::ingest::busy;
use crate::off_the_runtime::off_the_runtime;
use crate::problem::Refusal;
use crate::store::Store;

/// Bytes from which on a body is large: agents' are some ten kilobytes.
const LARGE: usize = 1 << 20;

/// Decodes batches.
pub(crate) struct Decoding {
    large: Semaphore,
}

impl Default for Decoding {
    fn default() -> Self {
        Self {
            large: Semaphore::new(1),
        }
    }
}

impl Decoding {
    /// A batch, with its request records packed if the store keeps them so, when there is room for it.
    pub(crate) async fn batch(
        &self,
        bytes: &Bytes,
        format: Format,
        store: &dyn Store,
        seat: &mut Seat,
    ) -> Result<(Batch, Option<PackedRequests>), Refusal> {
        if bytes.len() < LARGE {
            return held(decode_batch_and_packed(bytes, format), store, seat);
        }
        // Until it is known how much room it takes. It is never closed.
        let _one = self.large.acquire().await.ok();
        let large = bytes.clone();
        let decoded = off_the_runtime(move || decode_batch_and_packed(&large, format)).await?;
        held(decoded, store, seat)
    }
}

fn held(
    decoded: Result<(Batch, Option<PackedRequests>), DecodeError>,
    store: &dyn Store,
    seat: &mut Seat,
) -> Result<(Batch, Option<PackedRequests>), Refusal> {
    let (mut batch, packed) = decoded?;
    if let Some(packed) = &packed
        && !store.keeps_packed(packed)
    {
        batch.requests = packed.unpack()?;
    }
    seat.hold(&batch).map_err(|_| busy(batch.id()))?;
    Ok((batch, packed))
}
