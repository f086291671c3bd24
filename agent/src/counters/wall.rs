use std::time::Instant;

use super::counter::Counter;

/// Time that passes, whether anything runs or not.
#[derive(Debug)]
pub(crate) struct Wall {
    since: Instant,
}

impl Wall {
    pub(crate) fn start() -> Self {
        Self {
            since: Instant::now(),
        }
    }
}

impl Counter for Wall {
    fn name(&self) -> &'static str {
        "wall"
    }

    fn unit(&self) -> &'static str {
        "ns"
    }

    fn access(&self) -> Result<&str, &str> {
        Ok("clock_gettime(CLOCK_MONOTONIC)")
    }

    fn read(&self) -> Option<u64> {
        u64::try_from(self.since.elapsed().as_nanos()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_by_itself() {
        let wall = Wall::start();
        let before = wall.read().unwrap();
        let begun = Instant::now();
        while begun.elapsed().as_micros() < 100 {}
        assert!(wall.read().unwrap() >= before + 100_000);
    }
}
