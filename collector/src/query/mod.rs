//! Answering questions. The answers are the types of [`appweight::api`].

pub(crate) mod compare;
pub(crate) mod deploys;
pub(crate) mod fleet;
mod fold;
mod params;
pub(crate) mod profiles;
pub(crate) mod weight;

#[cfg(test)]
mod tests;
