//! What is kept for how long, and what that takes.

/// Up to when things are forgotten or kept in less detail, each in µs.
///
/// Cells go through three ages: as they came and by group of hosts; then folded over hosts, and at least a
/// minute wide; then at least an hour wide. A cell that is folded adds up to the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Horizons {
    /// Request and process records that began before are forgotten.
    pub(crate) records_us: u64,
    /// Ids of batches that came before are forgotten.
    pub(crate) batches_us: u64,
    /// Profiles to which nothing was added since are forgotten.
    pub(crate) profiles_us: u64,
    /// Cells that began before are folded over hosts and to minutes; rounded down to a minute.
    pub(crate) hosts_us: u64,
    /// Cells that began before are folded to hours; rounded down to an hour. Endpoints that were not counted
    /// since are no longer known.
    pub(crate) minutes_us: u64,
    /// Cells that began before are forgotten, and what was kept of days. A whole hour: a store may keep what it tells by the
    /// minute by the hour too.
    pub(crate) cells_us: u64,
    /// Roll-outs that were replaced before are forgotten with their reports, and with the last of them their
    /// service, if nothing has come of it since.
    pub(crate) deploys_us: u64,
}

impl Horizons {
    /// All is kept as it came.
    #[cfg(test)]
    pub(crate) const NONE: Self = Self {
        records_us: 0,
        batches_us: 0,
        profiles_us: 0,
        hosts_us: 0,
        minutes_us: 0,
        cells_us: 0,
        deploys_us: 0,
    };
}

/// How much a step, or several of them, forgot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Forgotten {
    /// Request and process records.
    pub(crate) records: u64,
    /// Ids of batches.
    pub(crate) batches: u64,
    /// Replicates of profiles.
    pub(crate) profiles: u64,
    /// Cells that were added to wider ones, or to those of all hosts.
    pub(crate) folded: u64,
    /// Cells.
    pub(crate) cells: u64,
    /// What was kept of days.
    pub(crate) days: u64,
    /// Endpoints, which make room for others.
    pub(crate) endpoints: u64,
    /// Roll-outs, with their reports.
    pub(crate) deploys: u64,
    /// Services of which nothing is left, which make room for others.
    pub(crate) services: u64,
    /// Bytes that were given back to the disk.
    pub(crate) bytes: u64,
    /// Whether there may be more to do.
    pub(crate) more: bool,
}

impl Forgotten {
    /// Adds what a later step forgot.
    pub(crate) fn add(&mut self, later: Self) {
        self.records += later.records;
        self.batches += later.batches;
        self.profiles += later.profiles;
        self.folded += later.folded;
        self.cells += later.cells;
        self.days += later.days;
        self.endpoints += later.endpoints;
        self.deploys += later.deploys;
        self.services += later.services;
        self.bytes += later.bytes;
        self.more = later.more;
    }
}

/// What a store occupies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DiskUse {
    /// On the disk, bytes.
    pub(crate) bytes: u64,
    /// Of these, what was forgotten and will be written over, bytes.
    pub(crate) reusable_bytes: u64,
}
