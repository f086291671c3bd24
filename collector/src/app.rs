use std::sync::Arc;

use crate::CollectorOptions;
use crate::alerts::Followed;
use crate::body::Posts;
use crate::committer::Committer;
use crate::days::NextDays;
use crate::decoding::Decoding;
use crate::endpoints::Endpoints;
use crate::lease::Lease;
use crate::live::Detectors;
use crate::metrics::Metrics;
use crate::rolling::Rolling;
use crate::services::Services;
use crate::store::Store;
use crate::turns::Turns;

/// What every handler and the watch loop share.
pub(crate) struct App {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) options: CollectorOptions,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) committer: Committer,
    pub(crate) decoding: Decoding,
    pub(crate) posts: Posts,
    pub(crate) turns: Turns,
    pub(crate) endpoints: Endpoints,
    pub(crate) services: Services,
    pub(crate) lease: Lease,
    pub(crate) alerts: Followed,
    pub(crate) rolling: Rolling,
    pub(crate) detectors: Detectors,
    pub(crate) days: NextDays,
}

impl App {
    /// Must be called within a runtime: commits are made by a task of their own.
    pub(crate) fn new(store: Arc<dyn Store>, options: CollectorOptions) -> Self {
        let metrics = Arc::new(Metrics::new());
        let committer = Committer::start(
            Arc::clone(&store),
            Arc::clone(&metrics),
            options.queue_bytes,
            options.body_limit,
        );
        Self {
            endpoints: Endpoints::new(options.max_endpoints),
            services: Services::new(options.max_services),
            decoding: Decoding::default(),
            posts: Posts::default(),
            turns: Turns::default(),
            lease: Lease::default(),
            alerts: Followed::default(),
            rolling: Rolling::default(),
            detectors: Detectors::default(),
            days: NextDays::default(),
            store,
            options,
            metrics,
            committer,
        }
    }
}
