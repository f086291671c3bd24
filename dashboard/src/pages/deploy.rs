use appweight::api::{
    Alert, AlertState, DeployReport, DeployStatus, DeploySummary, DeployVerdict, DetectedVerdict,
    HostsOfDeploy, WeightSeries,
};
use appweight::text;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::failure::Failure;
use super::functions::{Functions, Wanted};
use super::{choose, comparison, detected, earlier, memory, split, time};
use crate::client::{QueryClient, Span};
use crate::layout::{Page, Place, SOON};
use crate::look::{Look, deploy_badge};
use crate::{chart, format, href};

/// How far back neighbours are looked for.
const NEIGHBOURS: u64 = 500;
const MINUTE_US: u64 = 60_000_000;

#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    service: Option<String>,
    started_us: Option<u64>,
    /// What functions are told by; the collector's choice, if left out.
    timer: Option<String>,
    taken: Option<String>,
}

/// One roll-out: did it make the app heavier, by how much, where, and how is that known.
pub(crate) async fn deploy(
    State(client): State<QueryClient>,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(asked) = asked?;
    let path = format!("/deploys/{}", href::encode(&id));
    let service = match choose::service(&client, &path, asked.service).await? {
        Ok(service) => service,
        Err(page) => return Ok(page.into_response()),
    };
    let report = client.deploy(&id, Some(&service), asked.started_us).await?;
    let span = around(&report);
    let wanted = Wanted {
        timer: asked.timer.as_deref(),
        taken: asked.taken.as_deref(),
    };
    let is_called = report.detected.as_ref().is_some_and(|detected| {
        detected.says(DetectedVerdict::Regressed) || detected.says(DetectedVerdict::Withdrawn)
    });
    let alert = async {
        match report.summary.verdict {
            DeployVerdict::Regressed => client.alert(&report.summary.deploy).await,
            _ if is_called => client.alert(&report.summary.deploy).await,
            _ => Ok(None),
        }
    };
    let (alert, series, deploys, functions) = tokio::join!(
        alert,
        client.weight(&service, span),
        client.deploys(&service, NEIGHBOURS),
        Functions::ask(&client, &report, wanted)
    );
    // The verdict is worth showing without them.
    let series = series.ok().filter(|s| !s.points.is_empty());
    let deploys = deploys.unwrap_or_default();
    let around = Around {
        alert: alert.ok().flatten(),
        series,
        deploys,
    };
    let page = Page {
        title: report
            .summary
            .deploy
            .title
            .clone()
            .unwrap_or_else(|| id.clone()),
        place: Place::Deploy,
        refresh: (report.summary.status == DeployStatus::Rolling)
            .then_some(SOON)
            .flatten(),
        questions: std::iter::once(QueryClient::deploy_question(
            &id,
            Some(&service),
            Some(report.summary.deploy.started_us),
        ))
        .chain(functions.questions())
        .map(|question| client.public(&question))
        .collect(),
        body: render(&service, &report, &functions, &around),
        service: Some(service),
    };
    Ok(page.into_response())
}

/// The time to show round a roll-out: as long before and after as it took, and a minute at least.
fn around(report: &DeployReport) -> Span {
    let deploy = &report.summary.deploy;
    let from = report
        .from_us
        .map_or(deploy.started_us, |us| us.min(deploy.started_us));
    let until = report
        .until_us
        .or(deploy.ended_us)
        .unwrap_or(from)
        .max(deploy.ended_us.unwrap_or(0));
    let margin = until.saturating_sub(from).max(MINUTE_US);
    Span {
        from_us: Some(from.saturating_sub(margin)),
        until_us: Some(until.saturating_add(margin)),
        window_us: None,
    }
}

/// What is known beside the report.
struct Around {
    alert: Option<Alert>,
    series: Option<WeightSeries>,
    deploys: Vec<DeploySummary>,
}

fn render(service: &str, report: &DeployReport, functions: &Functions, around: &Around) -> Markup {
    let summary = &report.summary;
    let (series, deploys) = (around.series.as_ref(), &around.deploys);
    html! {
        (neighbours(summary, deploys))
        section.answer.(Look::of_deploy(summary).class()) #answer {
            p { (deploy_badge(summary)) }
            h1 { (answer(summary)) }
            (facts(summary))
            @if let Some(alert) = &around.alert { (handling(alert)) }
            @if summary.findings.len() > 1 {
                ul.findings {
                    @for finding in &summary.findings {
                        @let look = if finding.heavier { Look::Heavier } else { Look::Lighter };
                        li.(look.class()) { (look.icon()) span { (finding.text) } }
                    }
                }
            }
        }
        @if let Some(hosts) = &report.hosts { (odd_hosts(hosts)) }
        @if let Some(detected) = &report.detected { (detected::render(detected)) }
        @if let Some(run) = &report.earlier_run { (earlier::render(run)) }
        @if let Some(c) = &report.comparison {
            (comparison::render(service, c, report, series))
        } @else {
            section.panel #endpoints {
                h2 { "Endpoints" }
                p.note { (without_comparison(summary)) }
            }
        }
        (functions.render(&summary.deploy))
        @if let Some(m) = &report.memory { (memory::render(m)) }
        @if let Some(s) = &report.split { (split::render(s)) }
        @if let Some(series) = series {
            section.panel #around {
                div.panel-head { h2 { "The weight around this roll-out" } }
                div.charts role="region" aria-label="Chart" tabindex="0" {
                    (chart::weight(series, &marked(series, summary)))
                }
            }
        }
    }
}

/// Hosts that stand out by themselves, of which nothing follows for the code.
fn odd_hosts(hosts: &HostsOfDeploy) -> Markup {
    html! {
        @if !hosts.odd.is_empty() {
            section.panel #hosts {
                @for odd in &hosts.odd {
                    p {
                        "Of " (format::count(u64::from(hosts.hosts))) " hosts that run it, "
                        bdi { (text::odd_host(odd)) } "."
                    }
                }
            }
        }
    }
}

fn marked(series: &WeightSeries, summary: &DeploySummary) -> Vec<DeploySummary> {
    let mut deploys = series.deploys.clone();
    if !deploys
        .iter()
        .any(|d| d.deploy.started_us == summary.deploy.started_us)
    {
        deploys.push(summary.clone());
    }
    deploys
}

/// The judge's own sentence, or what there is to say before it has spoken.
fn answer(summary: &DeploySummary) -> String {
    if !summary.headline.is_empty() {
        return summary.headline.clone();
    }
    match Look::of_deploy(summary) {
        Look::Rolling => "Still rolling out: not yet judged.",
        Look::Heavier => "This deploy made the app heavier.",
        Look::Lighter => "This deploy made the app lighter.",
        Look::Same => "No change could be told from noise.",
        Look::WentAway => "What was called went away.",
        Look::Undecided => "Undecided: more requests may tell.",
        Look::Unsure => "Too few requests to say anything.",
        Look::Withheld => "It looks cheaper, but errors rose: no verdict.",
        Look::First => "The first deploy of this service: nothing to compare it with.",
    }
    .to_owned()
}

fn facts(summary: &DeploySummary) -> Markup {
    let deploy = &summary.deploy;
    html! {
        @if let Some(title) = &deploy.title { p.change-title { bdi { (title) } } }
        p.meta {
            code { bdi { (deploy.id) } }
            @if let Some(author) = &deploy.author { span { "by " bdi { (author) } } }
            span { "started " (time(deploy.started_us)) }
            @match deploy.ended_us {
                Some(end) => span { "rolled out in " (format::duration(end.saturating_sub(deploy.started_us))) },
                None => span { "rolling" },
            }
            @if let Some(replaced) = &deploy.replaced { span { "replaced " code { bdi { (replaced) } } } }
            @if let Some(judged) = summary.judged_us { span { "judged " (time(judged)) } }
            @if let Some(link) = &deploy.link {
                @match href::outside(link) {
                    Some(address) => a href=(address) rel="noopener noreferrer" { "the change ↗" },
                    None => span { bdi { (link) } },
                }
            }
        }
    }
}

/// What is done about it.
fn handling(alert: &Alert) -> Markup {
    let state = match alert.state {
        AlertState::Open => "Open: nobody has said yet what is done about it.",
        AlertState::Acknowledged => "Acknowledged: somebody looks into it.",
        AlertState::Accepted => "Accepted: it is to stay.",
        AlertState::Resolved if alert.resolved_by.is_none() => "Resolved.",
        AlertState::Resolved => "Resolved: as light as before.",
    };
    html! {
        p.meta #alert {
            span { (state) }
            @if let Some(reason) = &alert.reason { span { bdi { (reason) } } }
            @if let Some(by) = &alert.by { span { "by " bdi { (by) } } }
            @if let Some(deploy) = &alert.resolved_by { span { "since " code { bdi { (deploy) } } } }
            @if alert.state != AlertState::Open { span { (time(alert.changed_us)) } }
        }
    }
}

fn without_comparison(summary: &DeploySummary) -> &'static str {
    match summary.status {
        _ if summary.verdict == DeployVerdict::First => {
            "There is no older deploy to compare it with."
        }
        DeployStatus::Rolling => {
            "Nothing to compare yet: the new code’s first requests are still being counted."
        }
        DeployStatus::Judged => "There was no older deploy’s traffic to compare with.",
    }
}

/// Links to the roll-outs before and after this one.
fn neighbours(summary: &DeploySummary, deploys: &[DeploySummary]) -> Markup {
    let at = deploys.iter().position(|d| {
        d.deploy.id == summary.deploy.id && d.deploy.started_us == summary.deploy.started_us
    });
    let newer = at
        .and_then(|i| i.checked_sub(1))
        .and_then(|i| deploys.get(i));
    let older = at.and_then(|i| deploys.get(i + 1));
    let link = |d: &DeploySummary, rel: &str, name: &str| {
        html! {
            a.neighbour.(rel) rel=(rel) href=(href::deploy(&d.deploy)) {
                span { (name) }
                (Look::of_deploy(d).icon())
                bdi { (d.deploy.title.as_deref().unwrap_or(&d.deploy.id)) }
            }
        }
    };
    html! {
        @if older.is_some() || newer.is_some() {
            nav.neighbours aria-label="Deploys before and after" {
                @if let Some(d) = older { (link(d, "prev", "← before")) } @else { span {} }
                @if let Some(d) = newer { (link(d, "next", "after →")) }
            }
        }
    }
}
