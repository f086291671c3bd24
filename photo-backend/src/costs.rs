//! What each endpoint costs by itself, without the agent.

use std::path::Path;

use fastrand::Rng;
use serde::Serialize;

use crate::traffic::Mix;
use crate::truth::{Side, TruthError};
use crate::{Endpoint, Store, Variants};

/// The CPU time per request of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The mean.
    pub mean_ns: f64,
    /// The standard deviation, as a part of the mean.
    pub variation: f64,
    /// So many were measured.
    pub requests: u32,
}

/// Measures all endpoints in this thread; this writes to the database. Blocks.
///
/// # Errors
/// If the database cannot be used or a request fails.
pub fn measure(
    database: &Path,
    variants: Variants,
    requests: u32,
) -> Result<Vec<Cost>, TruthError> {
    let store = Store::open(database)?;
    let users = store.users()?;
    let mix = Mix::new(users);
    let mut side = Side::new(store.clone(), variants);
    let mut rng = Rng::with_seed(5);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    Endpoint::ALL
        .into_iter()
        .map(|endpoint| {
            let mut costs = Vec::new();
            for number in 0..requests + requests / 4 {
                let request = mix.request(endpoint, rng.u32(1..=users), "", &mut rng);
                let cost = runtime.block_on(side.cost(endpoint, vec![request]))?;
                if number >= requests / 4 {
                    costs.push(cost);
                }
            }
            store.checkpoint(0)?;
            Ok(cost(endpoint, &costs, requests))
        })
        .collect()
}

fn cost(endpoint: Endpoint, costs: &[f64], requests: u32) -> Cost {
    let n = f64::from(requests);
    let mean = costs.iter().sum::<f64>() / n;
    let variance = costs.iter().map(|cost| (cost - mean).powi(2)).sum::<f64>() / n;
    Cost {
        endpoint,
        mean_ns: mean,
        variation: variance.sqrt() / mean,
        requests,
    }
}
