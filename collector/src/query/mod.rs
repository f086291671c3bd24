//! Answering questions. The answers are the types of [`appweight::api`].

pub(crate) mod alerts;
pub(crate) mod compare;
pub(crate) mod deploys;
pub(crate) mod drift;
pub(crate) mod flags;
pub(crate) mod fleet;
#[cfg(test)]
mod largest_tests;
mod page;
mod params;
pub(crate) mod profiles;
pub(crate) mod weight;

#[cfg(test)]
mod tests;
