//! What a variant truly costs, measured without the agent: the build with it and the build without
//! it serve side by side, and get the same traffic, some times from the start.

mod growth;
mod service;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::serve::ServeError;
use crate::{Endpoint, Store, StoreError, Variant, Variants};

/// What to measure.
#[derive(Debug, Clone)]
pub struct TruthOptions {
    /// The variant in question.
    pub variant: Variant,
    /// Variants that both sides run with.
    pub also: Variants,
    /// The database made by [`seed`](crate::seed()). The traffic writes to it.
    pub database: PathBuf,
    /// How long to measure, all rounds together, without the half second in which each warms up.
    pub duration: Duration,
    /// Requests per second, both sides together.
    pub rate: f64,
    /// Decides who asks for what, and whom.
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
    /// The lower end of its 95 % interval, by how much rounds differ.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// CPU time per request without the variant.
    pub base_ns: f64,
    /// And with it.
    pub variant_ns: f64,
    /// So many requests were measured without it and with it.
    pub requests: [u64; 2],
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
    /// A build cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A request failed, so its cost means nothing.
    #[error("a request failed: {answer}")]
    Failed {
        /// What came instead of an answer.
        answer: String,
    },
    /// Too few requests came.
    #[error(
        "only {requests} requests of {endpoint} were measured in some round, {needed} are needed: measure longer"
    )]
    TooShort {
        /// The route's template.
        endpoint: String,
        /// So many came on the side that got fewer, in the round with the fewest.
        requests: u64,
        /// So many are needed.
        needed: u64,
    },
    /// The variant is on already.
    #[error("{0} cannot be compared with itself: it is among those that both sides have")]
    AlreadyOn(Variant),
    /// The system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Measures a variant. Blocks for about the duration; not to be called from a runtime's thread.
///
/// # Errors
/// If the database cannot be used or a request fails.
pub fn measure(options: &TruthOptions) -> Result<Truth, TruthError> {
    if options.also.has(options.variant) {
        return Err(TruthError::AlreadyOn(options.variant));
    }
    let memory = match options.variant {
        Variant::InboxLeak => Some(memory(options)?),
        _ => None,
    };
    Ok(Truth {
        variant: options.variant,
        also: options.also.iter().collect(),
        endpoints: service::compare(options, &touched(options.variant))?,
        memory,
    })
}

/// The endpoints whose cost is measured: where the mix shifts, also the one that shifts it.
fn touched(variant: Variant) -> Vec<Endpoint> {
    match variant {
        Variant::StoriesPrefetch => vec![Endpoint::Stories, Endpoint::Feed],
        _ => vec![variant.endpoint()],
    }
}

/// What each request leaves behind, without and with the variant.
fn memory(options: &TruthOptions) -> Result<MemoryTruth, TruthError> {
    let store = Store::open(&options.database)?;
    let endpoint = options.variant.endpoint();
    let growth = |variants| growth::growth(&store, variants, endpoint);
    Ok(MemoryTruth {
        endpoint: endpoint.template().to_owned(),
        base_bytes: growth(options.also)?,
        variant_bytes: growth(options.also.with(options.variant))?,
        requests_per_side: growth::REQUESTS.into(),
    })
}
