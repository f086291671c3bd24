//! What is written down once and told by every group: services with the time of their records, and endpoints.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::endpoints::{self, EndpointRow};
use super::journal::Group;
use super::services::ServiceRow;
use crate::store::span::span;

/// Services and endpoints that are remembered. When they are more, each is written anew once.
const MOST: usize = 100_000;

/// What is in of them already.
#[derive(Default)]
pub(super) struct Seen {
    services: HashMap<String, ServiceRow>,
    endpoints: HashSet<EndpointRow>,
}

/// What a group tells that is not in.
pub(super) struct New {
    services: Vec<ServiceRow>,
    endpoints: Vec<EndpointRow>,
}

impl Seen {
    pub(super) fn new_in(&self, group: &Group) -> New {
        let mut services: BTreeMap<&str, ServiceRow> = BTreeMap::new();
        for new in &group.batches {
            if let Some((first_us, last_us)) = span(new) {
                let service = &new.batch.origin.service;
                let row = ServiceRow::new(service, first_us, last_us);
                (services.entry(service))
                    .and_modify(|known| known.add(&row))
                    .or_insert(row);
            }
        }
        let is_new = |row: &ServiceRow| {
            let known = self.services.get(row.service());
            known.is_none_or(|known| !known.spans(row))
        };
        let endpoints = endpoints::rows(group).into_iter();
        New {
            services: services.into_values().filter(is_new).collect(),
            endpoints: endpoints
                .filter(|row| !self.endpoints.contains(row))
                .collect(),
        }
    }

    /// It is in.
    pub(super) fn add(&mut self, new: New) {
        if self.services.len() + self.endpoints.len() > MOST {
            *self = Self::default();
        }
        for row in new.services {
            (self.services.entry(row.service().to_owned()))
                .and_modify(|known| known.add(&row))
                .or_insert(row);
        }
        self.endpoints.extend(new.endpoints);
    }
}

impl New {
    pub(super) fn services(&self) -> Vec<ServiceRow> {
        self.services.clone()
    }

    pub(super) fn endpoints(&self) -> Vec<EndpointRow> {
        self.endpoints.clone()
    }
}
