//! Decoding batches. What a body becomes in memory may be twenty times as long as its bytes, and how long is known only
//! afterwards: large ones are decoded one at a time, where no other request waits for it.

use std::sync::Arc;

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
    large: Arc<Semaphore>,
}

impl Default for Decoding {
    fn default() -> Self {
        Self {
            large: Arc::new(Semaphore::new(1)),
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
        // Until it is known how much room it takes, also if the client goes away meanwhile. It is never closed.
        let one = Arc::clone(&self.large).acquire_owned().await.ok();
        let large = bytes.clone();
        let decode = move || (decode_batch_and_packed(&large, format), one);
        let (decoded, _one) = off_the_runtime(decode).await?;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use appweight_wire::encode;

    use super::*;
    use crate::testing::{Bench, NOON, batch, cell};

    #[tokio::test]
    async fn large_bodies_are_decoded_one_at_a_time_and_small_ones_meanwhile() {
        let bench = Bench::with(|options| options.body_limit = 2 * LARGE);
        let put = async |sequence: u64, length: usize| {
            let mut batch = batch(1, sequence, "a");
            batch.cells = vec![cell(NOON, &[5])];
            let mut body = encode(&batch, Format::Json);
            body.resize(length, b' ');
            let id = batch.id().to_string();
            bench.put(&id, "application/json", body).await.status
        };
        let large = &bench.collector.app().decoding.large;
        // Another one is decoded.
        let held = large.acquire().await.unwrap();
        let (mut first, mut second) = (Box::pin(put(1, LARGE)), Box::pin(put(2, LARGE)));
        for waiting in [&mut first, &mut second] {
            let done = tokio::time::timeout(Duration::from_millis(100), waiting).await;
            assert!(done.is_err(), "{done:?}");
        }
        assert_eq!(put(3, LARGE - 1).await, 201);
        // Whoever goes away is not waited for.
        drop(first);
        drop(held);
        assert_eq!(second.await, 201);
        assert_eq!(large.available_permits(), 1);
    }
}
