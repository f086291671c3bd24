//! Which functions made an endpoint heavier or lighter.

mod chosen;
mod endpoint;

use appweight::api::{DeployReport, ProfileDiff};
use appweight::profile::FunctionChange;
use appweight_wire::{Deploy, Kind, Taken};
use maud::{Markup, html};

use self::chosen::choose;
use self::endpoint::endpoint;
use crate::client::{DiffAsked, QueryClient, QueryError};
use crate::href;

/// Endpoints that are looked through for what allocates more, the costliest first.
const MOST_SEARCHED: usize = 12;
/// The timer that tells who allocates.
const ALLOCATED: &str = "allocated";

/// What is asked for by the reader; what is left out is the collector's choice.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted<'a> {
    pub(super) timer: Option<&'a str>,
    pub(super) taken: Option<&'a str>,
}

/// The functions of a deploy's flagged endpoints.
#[derive(Default)]
pub(super) struct Functions {
    flagged: Vec<Flagged>,
    /// Whether all endpoints together were flagged, and none of these.
    is_together: bool,
    /// By what they can be told, sorted.
    offers: Vec<(String, Taken)>,
}

/// An endpoint that is looked into and what its profiles say.
struct Flagged {
    endpoint: String,
    /// Whether it is here because memory leaks, which no endpoint was flagged for.
    is_of_leak: bool,
    answer: Result<ProfileDiff, QueryError>,
}

/// The deploys that are set side by side.
#[derive(Clone, Copy)]
struct Sides<'a> {
    deploy: &'a Deploy,
    base: &'a str,
}

impl<'a> Sides<'a> {
    fn asked(self, kind: Kind, endpoint: &'a str, wanted: Wanted<'a>) -> DiffAsked<'a> {
        DiffAsked {
            service: &self.deploy.service,
            base: self.base,
            head: &self.deploy.id,
            endpoint,
            kind,
            timer: wanted.timer,
            taken: wanted.taken,
        }
    }
}

impl Functions {
    /// Asks for those of the endpoints that the deploy made heavier or lighter, and of a leak.
    pub(super) async fn ask(
        client: &QueryClient,
        report: &DeployReport,
        wanted: Wanted<'_>,
    ) -> Self {
        let deploy = &report.summary.deploy;
        let Some(base) = deploy.replaced.as_deref() else {
            return Self::default();
        };
        let sides = Sides { deploy, base };
        let chosen = choose(report);
        let mut flagged = Vec::new();
        for (kind, endpoint) in chosen.endpoints {
            flagged.push(Flagged {
                endpoint: endpoint.to_owned(),
                is_of_leak: false,
                answer: client
                    .profile_diff(&sides.asked(kind, endpoint, wanted))
                    .await,
            });
        }
        if report.memory.as_ref().is_some_and(|memory| memory.leaks) {
            flagged.extend(ask_of_leak(client, sides, report).await);
        }
        let mut offers = Vec::new();
        if !flagged.is_empty() {
            // The answers are worth showing without a choice of others.
            let profiles = client.profiles(&deploy.service, &deploy.id).await;
            let mut profiles = profiles.unwrap_or_default();
            profiles.retain(|profile| {
                let mut endpoints = flagged.iter().map(|one| &one.endpoint);
                endpoints.any(|endpoint| *endpoint == profile.of.endpoint)
            });
            offers.extend(profiles.into_iter().map(|one| (one.of.timer, one.of.taken)));
            offers.sort();
            offers.dedup();
        }
        Self {
            flagged,
            is_together: chosen.is_together,
            offers,
        }
    }

    /// The questions that were answered, for those who want that as JSON.
    pub(super) fn questions(&self) -> impl Iterator<Item = String> {
        self.flagged.iter().filter_map(Flagged::question)
    }

    pub(super) fn render(&self, deploy: &Deploy) -> Markup {
        html! {
            @if !self.flagged.is_empty() {
                section.panel #functions {
                    div.panel-head { h2 { "Functions" } (self.choice(deploy)) }
                    @if self.is_together {
                        p.note { "All endpoints together changed, and none of them surely by itself. Here is what those that may have most of it show." }
                    }
                    @for one in &self.flagged { (one.render()) }
                }
            }
        }
    }

    fn choice(&self, deploy: &Deploy) -> Markup {
        let mut shown = self.flagged.iter().filter(|one| !one.is_of_leak);
        let shown = shown.find_map(|one| one.answer.as_ref().ok());
        let is_shown = |timer: &str, taken| {
            shown.is_some_and(|found| (found.of.timer.as_str(), found.of.taken) == (timer, taken))
        };
        html! {
            @if self.offers.len() > 1 {
                nav.ranges aria-label="What functions are told by" {
                    @for (timer, taken) in &self.offers {
                        a href=(href::functions(deploy, timer, *taken))
                            aria-current=[is_shown(timer, *taken).then_some("true")] {
                            bdi { (timer) } @if *taken == Taken::Sampled { " (sampled)" }
                        }
                    }
                }
            }
        }
    }
}

impl Flagged {
    fn question(&self) -> Option<String> {
        let found = self.answer.as_ref().ok()?;
        Some(QueryClient::profile_diff_question(&DiffAsked {
            service: &found.service,
            base: &found.base,
            head: &found.head,
            endpoint: &found.of.endpoint,
            kind: found.of.kind,
            timer: Some(&found.of.timer),
            taken: Some(found.of.taken.as_str()),
        }))
    }

    fn render(&self) -> Markup {
        html! {
            h3.endpoint {
                bdi { (self.endpoint) }
                @if self.is_of_leak { span.tag { "memory" } }
            }
            @if self.is_of_leak {
                p.note { "Memory leaks, which is the whole process’s. Here most is allocated that was not before." }
            }
            @match &self.answer {
                Ok(found) => (endpoint(found)),
                Err(error) => p.note { "Which function it was is not known. " (error) },
            }
        }
    }
}

/// Asks where most of what is allocated more than before is: a leak is the process's, and no endpoint is flagged for it.
async fn ask_of_leak(
    client: &QueryClient,
    sides: Sides<'_>,
    report: &DeployReport,
) -> Option<Flagged> {
    let wanted = Wanted {
        timer: Some(ALLOCATED),
        taken: None,
    };
    let mut most: Option<(f64, Flagged)> = None;
    let endpoints = report.comparison.iter().flat_map(|all| &all.endpoints);
    for endpoint in endpoints.take(MOST_SEARCHED) {
        // Where nothing was profiled nothing can be said.
        let asked = sides.asked(endpoint.kind, &endpoint.endpoint, wanted);
        let Ok(found) = client.profile_diff(&asked).await else {
            continue;
        };
        let gain = found
            .diff
            .functions
            .iter()
            .filter(|change| change.is_surely_dearer())
            .map(FunctionChange::net)
            .fold(0.0, f64::max)
            * endpoint.after.weight as f64;
        if gain > most.as_ref().map_or(0.0, |(largest, _)| *largest) {
            let flagged = Flagged {
                endpoint: endpoint.endpoint.clone(),
                is_of_leak: true,
                answer: Ok(found),
            };
            most = Some((gain, flagged));
        }
    }
    most.map(|(_, flagged)| flagged)
}
