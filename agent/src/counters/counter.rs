use appweight_wire::CounterStatus;

/// What can be counted.
pub(crate) trait Counter {
    /// What it is called in the process record.
    fn name(&self) -> &'static str;

    /// What one is.
    fn unit(&self) -> &'static str;

    /// How it is read here, or why it is not there.
    fn access(&self) -> Result<&str, &str>;

    /// How many there were so far, absent if it cannot be told. Two of them make a difference.
    fn read(&self) -> Option<u64>;

    /// How it is read, as a line of the process record.
    fn status(&self) -> CounterStatus {
        let access = self.access();
        CounterStatus {
            name: self.name().to_owned(),
            read_by: access.ok().map(str::to_owned),
            absent_because: access.err().map(str::to_owned),
        }
    }
}
