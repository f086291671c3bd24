use std::ops::AddAssign;

use serde_json::Value;

use crate::collector::Counted;

/// What requests add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    requests: u64,
    weight: u64,
    errors: u64,
    cpu_ns: u64,
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.weight += other.weight;
        self.errors += other.errors;
        self.cpu_ns += other.cpu_ns;
    }
}

impl Sums {
    /// Of requests as they are sent and as they are told.
    pub(crate) fn of<'a>(requests: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut sums = Self::default();
        for request in requests {
            sums += Self {
                requests: 1,
                weight: request["weight"].as_u64().expect("a weight"),
                errors: u64::from(request["error"] == true),
                cpu_ns: request["cpu_ns"].as_u64().expect("a cost"),
            };
        }
        sums
    }

    /// Of the cells of an endpoint. The sum is exact: whole numbers this small lie further apart than a mean of theirs is off.
    pub(crate) fn counted(counted: &Counted) -> Self {
        Self {
            requests: counted.requests,
            weight: counted.weight,
            errors: counted.errors,
            cpu_ns: (counted.cpu_ns * counted.requests as f64).round() as u64,
        }
    }
}
