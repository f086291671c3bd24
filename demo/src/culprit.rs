//! Which function the collector's profiles name for a finding: what stands first among those that became dearer.

use appweight::api::{DeploySummary, Finding, ProfileDiff};
use appweight::profile::Change;
use appweight::text;

use crate::judge::Api;

/// By what a leak is looked for: who allocates more.
const OF_MEMORY: &str = "allocated";

/// A function that was named.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named {
    /// Its name with its path.
    pub(crate) function: String,
    unit: String,
    change: Change,
}

#[cfg(test)]
impl Named {
    pub(crate) fn of(function: &str) -> Self {
        Self {
            function: function.to_owned(),
            unit: "ns".to_owned(),
            change: Change::default(),
        }
    }
}

impl Named {
    /// `endpoints::feed::authors +1.24 ms (1.10 ms … 1.38 ms)`
    pub(crate) fn told(&self) -> String {
        let name = self.function.replace("photo_backend::", "");
        let difference = text::signed_amount(&self.unit, self.change.difference());
        match self.change.interval {
            Some(interval) => format!(
                "{name} {difference} ({} … {})",
                text::amount(&self.unit, interval.low),
                text::amount(&self.unit, interval.high)
            ),
            None => format!("{name} {difference}"),
        }
    }
}

/// The function behind what became heavier; or why none is named.
pub(crate) async fn named(
    api: &Api,
    summary: &DeploySummary,
    finding: &Finding,
) -> Result<Named, String> {
    let head = summary.deploy.id.as_str();
    let base = summary.deploy.replaced.as_deref();
    let base = base.ok_or("it replaced nothing")?;
    let told = |error: anyhow::Error| format!("{error:#}");
    let Some(endpoint) = &finding.endpoint else {
        return of_memory(api, base, head)
            .await
            .map_err(told)?
            .ok_or_else(|| "no function surely allocates more".to_owned());
    };
    let diff = api.profile_diff(base, head, endpoint, None).await;
    first(&diff.map_err(told)?).ok_or_else(|| "no function surely became dearer".to_owned())
}

fn first(found: &ProfileDiff) -> Option<Named> {
    let mut functions = found.diff.functions.iter();
    let change = functions.find(|change| change.is_surely_dearer())?;
    Some(Named {
        function: change.function.name.clone(),
        unit: found.of.unit.clone(),
        change: change.own,
    })
}

/// Of all endpoints, since a leak is the process's: what allocates most of what is more, requests counted by how many
/// of them there are.
async fn of_memory(api: &Api, base: &str, head: &str) -> anyhow::Result<Option<Named>> {
    let mut most: Option<(f64, Named)> = None;
    for profile in api.profiles(head).await? {
        if profile.of.timer != OF_MEMORY {
            continue;
        }
        let endpoint = &profile.of.endpoint;
        let diff = api.profile_diff(base, head, endpoint, Some(OF_MEMORY));
        // An endpoint that only one side was profiled in says nothing.
        let Ok(diff) = diff.await else {
            continue;
        };
        let Some(named) = first(&diff) else {
            continue;
        };
        let gain = named.change.difference() * profile.requests as f64;
        if most.as_ref().is_none_or(|(largest, _)| gain > *largest) {
            most = Some((gain, named));
        }
    }
    Ok(most.map(|(_, named)| named))
}
