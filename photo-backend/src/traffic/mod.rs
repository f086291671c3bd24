//! Real HTTP traffic from many simulated users.
//!
//! The loop is open: requests come at the times of a Poisson process however slow the answers are,
//! as they do from people who do not know of each other. A thread of its own drives it, so that
//! the rate does not depend on what else its caller does.

mod counts;
mod mix;
mod photos;
mod run;
mod targets;

use std::sync::Arc;
use std::thread::JoinHandle;

pub use counts::{Counts, EndpointCounts};
pub(crate) use mix::Mix;
pub use targets::{InvalidTarget, Targets};

use counts::Counters;
use run::Shared;

/// What traffic is started with.
#[derive(Debug, Clone)]
pub struct TrafficOptions {
    /// Decides everything that is random.
    pub seed: u64,
    /// Users with an id from 1 to this one are active.
    pub users: u32,
    /// How many users the database holds: posts of all of them can be liked.
    pub seeded_users: u32,
    /// Requests per second.
    pub rate: f64,
    /// Arrivals are shed while so many requests wait for their answer.
    pub in_flight: usize,
}

impl Default for TrafficOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            users: 2000,
            seeded_users: 2000,
            rate: 600.0,
            in_flight: 64,
        }
    }
}

/// Traffic that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Traffic {
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    /// Starts it against those targets.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(options: TrafficOptions, targets: Targets) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::new(options.rate, options.users));
        let counters = Arc::new(Counters::default());
        let thread = {
            let (shared, counters) = (Arc::clone(&shared), Arc::clone(&counters));
            std::thread::Builder::new()
                .name("traffic".into())
                .spawn(move || run::run(&options, &shared, &counters, &targets))?
        };
        Ok(Self {
            shared,
            counters,
            thread: Some(thread),
        })
    }

    /// Changes how many requests come per second.
    pub fn set_rate(&self, rate: f64) {
        self.shared.set_rate(rate);
    }

    /// Changes how many users are active.
    pub fn set_users(&self, users: u32) {
        self.shared.set_users(users);
    }

    /// What happened until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counters.snapshot()
    }

    /// Sends no more, waits for the answers still open, and tells what happened.
    pub async fn stop(mut self) -> Counts {
        self.shared.stop();
        if let Some(thread) = self.thread.take() {
            let ended = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(ended, Ok(Ok(()))) {
                tracing::error!("the traffic thread broke off");
            }
        }
        self.counters.snapshot()
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.shared.stop();
    }
}
