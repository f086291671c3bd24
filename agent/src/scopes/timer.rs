use std::fmt;
use std::sync::Arc;

/// What profiles count at the edges of scopes; see [`AgentBuilder::profile_timers`](crate::AgentBuilder::profile_timers).
///
/// All count for the thread that runs the scope but `Rss`, which is the process's. What a function costs is what its
/// timer moved while the function ran and none that is itself a scope did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Timer {
    /// `instructions`: those that the CPU executed, where it counts them.
    Instructions,
    /// `cpu`: CPU time, ns.
    CpuTime,
    /// `wall`: time that passes while the request runs, ns. What an async function waits for is not in it.
    WallTime,
    /// `rss`: the process's resident memory, bytes. Other threads grow it too, and it costs a system call at each edge.
    Rss,
    /// `allocated`: bytes that were asked for, whether they were given back or not. Needs
    /// [`AppweightAlloc`](crate::AppweightAlloc).
    AllocatedBytes,
    /// `allocations`: how often memory was asked for. Needs [`AppweightAlloc`](crate::AppweightAlloc).
    Allocations,
    /// `page_faults`: accesses to memory that the kernel had to provide first. A system call at each edge.
    PageFaults,
    /// One of your own, made by [`Timer::custom`].
    Custom(CustomTimer),
}

/// A timer that the service brings along; made by [`Timer::custom`].
#[derive(Clone)]
pub struct CustomTimer {
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) read: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Timer {
    /// Those that count without being asked for: instructions, CPU time and allocated bytes.
    pub(crate) const DEFAULT: [Self; 3] = [Self::Instructions, Self::CpuTime, Self::AllocatedBytes];

    /// A timer of your own: what `read` gives is compared at the edges of scopes, on the thread that runs the scope. It may
    /// fall as well as rise. A `read` that panics ends this timer for the request.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    ///
    /// use appweight_agent::{Agent, Timer};
    ///
    /// static QUERIES: AtomicU64 = AtomicU64::new(0);
    ///
    /// let queries = Timer::custom("queries", "queries", || QUERIES.load(Relaxed));
    /// let builder = Agent::builder()
    ///     .service("photos")
    ///     .profile_timers([Timer::CpuTime, queries]);
    /// ```
    pub fn custom(
        name: impl Into<String>,
        unit: impl Into<String>,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self::Custom(CustomTimer {
            name: name.into(),
            unit: unit.into(),
            read: Arc::new(read),
        })
    }

    /// What it is called in profiles and in `APPWEIGHT_PROFILE_TIMERS`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Instructions => "instructions",
            Self::CpuTime => "cpu",
            Self::WallTime => "wall",
            Self::Rss => "rss",
            Self::AllocatedBytes => "allocated",
            Self::Allocations => "allocations",
            Self::PageFaults => "page_faults",
            Self::Custom(custom) => &custom.name,
        }
    }

    /// What one is.
    #[must_use]
    pub fn unit(&self) -> &str {
        match self {
            Self::Instructions => "instructions",
            Self::CpuTime | Self::WallTime => "ns",
            Self::Rss | Self::AllocatedBytes => "bytes",
            Self::Allocations | Self::PageFaults => "count",
            Self::Custom(custom) => &custom.unit,
        }
    }

    /// The one of that name, if it is not one of your own.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Instructions,
            Self::CpuTime,
            Self::WallTime,
            Self::Rss,
            Self::AllocatedBytes,
            Self::Allocations,
            Self::PageFaults,
        ];
        all.into_iter().find(|timer| timer.name() == name)
    }
}

impl fmt::Debug for CustomTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomTimer")
            .field("name", &self.name)
            .field("unit", &self.unit)
            .finish_non_exhaustive()
    }
}
