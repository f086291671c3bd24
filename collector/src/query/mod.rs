//! Answering questions. The answers are the types of [`appweight::api`].

pub(crate) mod alerts;
pub(crate) mod compare;
pub(crate) mod deploys;
pub(crate) mod fleet;
mod fold;
mod page;
mod params;
pub(crate) mod profiles;
mod refused;
pub(crate) mod weight;

pub(crate) use refused::Unread;

#[cfg(test)]
mod tests;
