//! AppWeight: what an app costs per active user.

use crate::api::{Metric, WeightPoint};
use crate::evidence::ProcessPoint;

/// What a service weighed, window by window.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighed {
    /// In what it is weighed.
    pub metric: Metric,
    /// Why instructions are absent, if they are.
    pub instructions_absent_because: Option<String>,
    /// Window by window, by rising start; windows without a process record are left out.
    pub points: Vec<WeightPoint>,
    /// The window with the most active users.
    pub peak: Option<WeightPoint>,
}

/// Weighs a service by its process records in windows of `window_us` (at least the widest record's span).
#[must_use]
pub fn weigh(processes: &[ProcessPoint], window_us: u64) -> Weighed {
    let _ = (processes, window_us);
    Weighed {
        metric: Metric::Cpu,
        instructions_absent_because: None,
        points: Vec::new(),
        peak: None,
    }
}
