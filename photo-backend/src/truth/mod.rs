//! What a variant truly costs, measured without the agent: two apps side by side in one thread, the
//! same requests to both, in small blocks and random order.

mod interval;
mod leak;
mod side;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::traffic::Mix;
use crate::{Endpoint, Store, StoreError, Variant, Variants};
use interval::relative_change;
pub(crate) use side::Side;

const BLOCK: usize = 8;
const WARM_UP_BLOCKS: usize = 20;
const MIN_BLOCKS: usize = 30;

/// What to measure.
#[derive(Debug, Clone)]
pub struct TruthOptions {
    /// The variant in question.
    pub variant: Variant,
    /// Variants that both sides run with.
    pub also: Variants,
    /// The database made by [`seed`](crate::seed()). Nothing is written to it.
    pub database: PathBuf,
    /// How long to measure.
    pub duration: Duration,
    /// Decides which users ask, and in which order the sides are asked.
    pub seed: u64,
}

/// What a variant truly does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// The variant.
    pub variant: Variant,
    /// What both sides ran with besides.
    pub also: Vec<Variant>,
    /// The CPU time of the endpoints that it touches, the first of them in the first place.
    pub endpoints: Vec<EndpointTruth>,
    /// How much resident memory requests leave behind, where the variant is about memory.
    pub memory: Option<MemoryTruth>,
}

/// The CPU time per request of one endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointTruth {
    /// The route's template, as `/feed`.
    pub endpoint: String,
    /// The method.
    pub method: String,
    /// The relative change: 0.3 is 30 % more.
    pub change: f64,
    /// The lower end of its 95 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// CPU time per request without the variant.
    pub base_ns: f64,
    /// And with it.
    pub variant_ns: f64,
    /// So many requests were measured on each side.
    pub requests_per_side: u64,
}

/// The growth of resident memory per request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryTruth {
    /// The route's template.
    pub endpoint: String,
    /// Bytes per request without the variant.
    pub base_bytes: f64,
    /// And with it.
    pub variant_bytes: f64,
    /// So many requests were measured on each side.
    pub requests_per_side: u64,
}

/// Why there is no truth.
#[derive(Debug, thiserror::Error)]
pub enum TruthError {
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A request failed, so its cost means nothing.
    #[error("{endpoint} answered {status}")]
    Failed {
        /// What was asked.
        endpoint: Endpoint,
        /// The answer.
        status: u16,
    },
    /// The variant is on already.
    #[error("{0} cannot be compared with itself: it is among those that both sides have")]
    AlreadyOn(Variant),
    /// The system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Measures a variant in this thread. Blocks for about the duration.
///
/// # Errors
/// If the database cannot be used or a request fails.
pub fn measure(options: &TruthOptions) -> Result<Truth, TruthError> {
    if options.also.has(options.variant) {
        return Err(TruthError::AlreadyOn(options.variant));
    }
    let store = Store::open(&options.database)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let memory = if options.variant == Variant::InboxLeak {
            Some(memory(options, &store).await?)
        } else {
            None
        };
        let mut bench = Bench::new(options, store)?;
        let endpoints = touched(options.variant);
        let share = options.duration / u32::try_from(endpoints.len()).unwrap_or(1);
        let mut truths = Vec::new();
        for endpoint in endpoints {
            truths.push(bench.compare(endpoint, share).await?);
        }
        Ok(Truth {
            variant: options.variant,
            also: options.also.iter().collect(),
            endpoints: truths,
            memory,
        })
    })
}

/// The endpoints whose cost is measured: where the mix shifts, also the one that shifts it.
fn touched(variant: Variant) -> Vec<Endpoint> {
    match variant {
        Variant::StoriesPrefetch => vec![Endpoint::Stories, Endpoint::Feed],
        _ => vec![variant.endpoint()],
    }
}

struct Bench {
    base: Side,
    changed: Side,
    mix: Arc<Mix>,
    users: u32,
    rng: Rng,
}

impl Bench {
    fn new(options: &TruthOptions, store: Store) -> Result<Self, TruthError> {
        let users = store.users()?;
        let mix = Arc::new(Mix::new(users));
        let neighbour = Store::open(&options.database)?;
        let side = |variants| {
            Side::new(store.clone(), variants).paced(neighbour.clone(), Arc::clone(&mix), users)
        };
        Ok(Self {
            base: side(options.also),
            changed: side(options.also.with(options.variant)),
            mix,
            users,
            rng: Rng::with_seed(options.seed),
        })
    }

    async fn compare(
        &mut self,
        endpoint: Endpoint,
        duration: Duration,
    ) -> Result<EndpointTruth, TruthError> {
        for _ in 0..WARM_UP_BLOCKS {
            self.block(endpoint).await?;
        }
        let end = Instant::now() + duration;
        let mut blocks = Vec::new();
        while Instant::now() < end || blocks.len() < MIN_BLOCKS {
            blocks.push(self.block(endpoint).await?);
        }
        let interval = relative_change(&blocks);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
        let requests = (blocks.len() * BLOCK) as f64;
        Ok(EndpointTruth {
            endpoint: endpoint.template().to_owned(),
            method: endpoint.method().to_string(),
            change: interval.change,
            low: interval.low,
            high: interval.high,
            base_ns: blocks.iter().map(|block| block.0).sum::<f64>() / requests,
            variant_ns: blocks.iter().map(|block| block.1).sum::<f64>() / requests,
            requests_per_side: (blocks.len() * BLOCK) as u64,
        })
    }

    /// The CPU time in ns of some requests without and with the variant.
    async fn block(&mut self, endpoint: Endpoint) -> Result<(f64, f64), TruthError> {
        let users: Vec<u32> = (0..BLOCK).map(|_| self.rng.u32(1..=self.users)).collect();
        let order = self.rng.u64(..);
        let requests = || {
            let mut rng = Rng::with_seed(order);
            users
                .iter()
                .map(|&user| self.mix.request(endpoint, user, "", &mut rng))
                .collect::<Vec<_>>()
        };
        let (first, second) = (requests(), requests());
        if order.is_multiple_of(2) {
            let base = self.base.cost(endpoint, first).await?;
            Ok((base, self.changed.cost(endpoint, second).await?))
        } else {
            let changed = self.changed.cost(endpoint, first).await?;
            Ok((self.base.cost(endpoint, second).await?, changed))
        }
    }
}

/// What each request leaves behind, without and with the variant. Only pages count here, so nothing
/// needs to come between the requests.
async fn memory(options: &TruthOptions, store: &Store) -> Result<MemoryTruth, TruthError> {
    let users = store.users()?;
    let mix = Mix::new(users);
    let endpoint = options.variant.endpoint();
    let growth = async |variants| {
        leak::growth(
            &mut Side::new(store.clone(), variants),
            &mix,
            endpoint,
            users,
        )
        .await
    };
    Ok(MemoryTruth {
        endpoint: endpoint.template().to_owned(),
        base_bytes: growth(options.also).await?,
        variant_bytes: growth(options.also.with(options.variant)).await?,
        requests_per_side: leak::REQUESTS as u64,
    })
}
