/// What kind of service is simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Requests per second of the whole service at the day's peak.
    pub peak_requests_per_second: f64,
    /// Requests counted of those served; all at 1.
    pub counted_share: f64,
    /// Endpoints; their traffic follows Zipf's law.
    pub endpoints: usize,
    /// Clusters.
    pub clusters: usize,
    /// Hosts in each cluster.
    pub hosts_per_cluster: usize,
    /// Deploys in a day.
    pub deploys_per_day: usize,
    /// Minutes that a usual roll-out takes.
    pub roll_out_minutes: u32,
    /// Standard deviation of the hosts' speed, relative: 0.002 for instructions, 0.15 for CPU time.
    pub host_spread: f64,
    /// Standard deviation of what a restart changes in a process of its own accord, relative.
    pub restart_spread: f64,
    /// Standard deviation of what moves all requests of a minute together, relative.
    pub minute_shock: f64,
    /// Standard deviation of what moves all requests of one host in one minute together, relative.
    pub host_minute_shock: f64,
    /// The rest of a lognormal cost: a share of requests that costs many times as much.
    pub tail_share: f64,
    /// How many times as much.
    pub tail_factor: f64,
    /// Cost in the first minute of a process, relative to later.
    pub warm_up: f64,
    /// Minutes in which the warm-up falls to 1/e.
    pub warm_up_minutes: f64,
    /// The share of deploys that change one endpoint.
    pub changed_share: f64,
    /// The smallest and the largest change planted, relative.
    pub changes: (f64, f64),
    /// Whether there are mix shifts, spikes, bad hosts, drifts, roll-backs, flags and changes of all endpoints.
    pub traps: bool,
    /// Whether the cells are of CPU time rather than of instructions.
    pub cpu_time: bool,
}

impl Shape {
    /// The shape that the detector was developed on: 40 endpoints, 2 clusters of 8 hosts, 40 deploys a day.
    #[must_use]
    pub fn usual(peak_requests_per_second: f64) -> Self {
        Self {
            peak_requests_per_second,
            counted_share: 1.0,
            endpoints: 40,
            clusters: 2,
            hosts_per_cluster: 8,
            deploys_per_day: 40,
            roll_out_minutes: 8,
            host_spread: 0.002,
            restart_spread: 0.001,
            minute_shock: 0.002,
            host_minute_shock: 0.002,
            tail_share: 0.02,
            tail_factor: 6.0,
            warm_up: 0.25,
            warm_up_minutes: 1.2,
            changed_share: 0.2,
            changes: (0.003, 0.2),
            traps: true,
            cpu_time: false,
        }
    }

    /// A shape that no threshold was chosen on: more and slower hosts, heavier tails, longer
    /// roll-outs and warm-ups, noisier minutes.
    #[must_use]
    pub fn held_out(peak_requests_per_second: f64) -> Self {
        Self {
            endpoints: 25,
            clusters: 3,
            hosts_per_cluster: 6,
            deploys_per_day: 28,
            roll_out_minutes: 14,
            restart_spread: 0.002,
            minute_shock: 0.004,
            host_minute_shock: 0.004,
            tail_share: 0.005,
            tail_factor: 30.0,
            warm_up: 0.5,
            warm_up_minutes: 2.5,
            ..Self::usual(peak_requests_per_second)
        }
    }

    /// The same in CPU time: hosts differ in speed by 15 %.
    #[must_use]
    pub fn in_cpu_time(self) -> Self {
        Self {
            host_spread: 0.15,
            cpu_time: true,
            ..self
        }
    }

    /// The same day with nothing in it that a judge could be right to name.
    #[must_use]
    pub fn unchanged(self) -> Self {
        Self {
            changed_share: 0.0,
            traps: false,
            ..self
        }
    }

    pub(crate) fn hosts(&self) -> usize {
        self.clusters * self.hosts_per_cluster
    }
}
