//! The services of a file of cells, apart from each other.

use std::collections::HashMap;

use anyhow::bail;
use appweight::detect::{CellLine, DeployLine, DetectError};

/// What is made of each service, in the order in which they come. Services have nothing in common: not a quiet minute, not an
/// incident, not what was called in a day.
#[derive(Debug)]
pub(crate) struct Services<T> {
    all: Vec<(String, T)>,
    by_deploy: HashMap<String, usize>,
}

impl<T> Default for Services<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            by_deploy: HashMap::new(),
        }
    }
}

impl<T> Services<T> {
    /// That of a deploy whose line comes now; `new` if it is the service's first one.
    pub(crate) fn of_deploy(
        &mut self,
        deploy: &DeployLine,
        new: impl FnOnce() -> T,
    ) -> anyhow::Result<&mut T> {
        if self.by_deploy.contains_key(&deploy.deploy) {
            bail!("deploy {:?} has a line already", deploy.deploy);
        }
        let known = self
            .all
            .iter()
            .position(|(name, _)| *name == deploy.service);
        let at = known.unwrap_or(self.all.len());
        if known.is_none() {
            self.all.push((deploy.service.clone(), new()));
        }
        if let Some(replaced) = &deploy.replaces
            && self.by_deploy.get(replaced) != Some(&at)
        {
            tracing::warn!(
                "deploy {:?} replaces {replaced:?}, of which there is no line above: it is not judged",
                deploy.deploy
            );
        }
        self.by_deploy.insert(deploy.deploy.clone(), at);
        Ok(&mut self.all[at].1)
    }

    /// That of a cell.
    pub(crate) fn of_cell(&mut self, cell: &CellLine<'_>) -> Result<&mut T, DetectError> {
        let at = self.by_deploy.get(cell.deploy.as_ref());
        let of = at.and_then(|at| self.all.get_mut(*at));
        of.map(|(_, of)| of)
            .ok_or_else(|| DetectError::UnknownDeploy(cell.deploy.clone().into_owned()))
    }

    /// All of them, by name.
    pub(crate) fn all(self) -> Vec<(String, T)> {
        self.all
    }
}
