use std::sync::Arc;

use crate::CollectorOptions;
use crate::metrics::Metrics;
use crate::store::Store;

/// What every handler and the watch loop share.
pub(crate) struct App {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) options: CollectorOptions,
    pub(crate) metrics: Metrics,
}
