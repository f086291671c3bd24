use appweight::api::{DriftReport, DriftSeries, EndpointDrift, SeriesScan};
use appweight::text;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::choose;
use super::failure::Failure;
use crate::client::QueryClient;
use crate::layout::{Page, Place};
use crate::{days_chart, format, href};

const DAY_US: u64 = 86_400_000_000;
const WEEKS: u64 = 12;
const CHOICES: [u64; 5] = [4, 12, 26, 52, 104];

#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    service: Option<String>,
    weeks: Option<u64>,
}

/// What moved slowly: the weight of each day's peak, and what endpoints cost, with changes and trends.
pub(crate) async fn trends(
    State(client): State<QueryClient>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(asked) = asked?;
    let service = match choose::service(&client, "/trends", asked.service).await? {
        Ok(service) => service,
        Err(page) => return Ok(page.into_response()),
    };
    let weeks = asked.weeks.unwrap_or(WEEKS).clamp(1, 104);
    let now_us = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
    let from_us = (now_us / DAY_US).saturating_sub(7 * weeks) * DAY_US;
    let report = client.drift(&service, from_us).await?;
    let page = Page {
        title: format!("Trends of {service}"),
        place: Place::Trends,
        refresh: None,
        questions: vec![client.public(&QueryClient::drift_question(&service, from_us))],
        body: render(&service, weeks, &report),
        service: Some(service),
    };
    Ok(page.into_response())
}

fn render(service: &str, weeks: u64, report: &DriftReport) -> Markup {
    let (told, still): (Vec<&EndpointDrift>, Vec<&EndpointDrift>) =
        report.endpoints.iter().partition(|of| of.cost.is_told());
    html! {
        h1.visually-hidden { "Trends of " (service) }
        @match report.kept_since_us {
            None => section.empty #trends {
                h2 { "No day is kept yet" }
                p {
                    "A day of UTC is added up an hour after it is over, at 1:00. Changes of level are looked for from eight days on, "
                    "trends from 28 days on."
                }
            },
            Some(since_us) => {
                (weight(service, weeks, report, since_us))
                section.panel #endpoints {
                    div.panel-head {
                        h2 { "Endpoints that moved" }
                        p.scale {
                            (told.len()) " of " (report.endpoints.len()) " that were looked at, by what they moved the service's CPU"
                        }
                    }
                    @if told.is_empty() {
                        p.note { "Nothing that would not be chance." }
                    }
                    @for of in &told { (moved(report, of)) }
                }
                @if !still.is_empty() { (others(&still)) }
            }
        }
    }
}

fn weight(service: &str, weeks: u64, report: &DriftReport, since_us: u64) -> Markup {
    let series = &report.weight;
    html! {
        section.panel #weight {
            div.panel-head {
                h2 { (format::metric_name(series.metric)) " per active user in each day's peak minute" }
                nav.ranges aria-label="Time shown" {
                    @for choice in CHOICES {
                        a href=(href::trends(service, Some(choice))) aria-current=[(choice == weeks).then_some("true")] {
                            (choice) " weeks"
                        }
                    }
                }
            }
            @if series.daily.values == 0 {
                p.note {
                    "No day of this time has a weight: it takes process records of nine in ten of a day's minutes, and a service "
                    "that says who its requests are from."
                }
            } @else {
                (findings(series))
                div.charts role="region" aria-label="Weight by day" tabindex="0" {
                    (days_chart::days("Weight by day", report, series))
                }
            }
            p.note { "Days of this service are kept since " (date(since_us)) "." }
        }
    }
}

fn moved(report: &DriftReport, of: &EndpointDrift) -> Markup {
    html! {
        h3 { bdi { (of.endpoint) } " " small { (text::percent(of.share)) " of the CPU lately" } }
        (findings(&of.cost))
        div.charts role="region" aria-label="Cost by day" tabindex="0" {
            (days_chart::days(&format!("{} per request of {}, by day", format::metric_name(of.cost.metric), of.endpoint), report, &of.cost))
        }
    }
}

/// What is told of a series, each with its confidence; else why nothing is.
fn findings(series: &DriftSeries) -> Markup {
    let scans = [(&series.daily, "by day"), (&series.weekly, "by week")];
    html! {
        ul.findings {
            @for (scan, unit) in scans {
                @for change in scan.changes.iter().filter(|change| change.told) {
                    li { span {
                        strong { (text::signed_percent(change.relative)) } " from " (date(change.from_us)) " on, "
                        small { (unit) ", confidence " (text::confidence(change.confidence)) }
                    } }
                }
                @if let Some(trend) = scan.trend.filter(|trend| trend.told) {
                    li { span {
                        strong { (text::trend(&trend)) } " since " (date(trend.from_us)) ", "
                        small { (unit) ", confidence " (text::confidence(trend.confidence)) }
                    } }
                }
            }
            @if !series.is_told() { li { (nothing(&series.daily)) } }
            @if let Some(overall) = series.overall {
                li { (text::signed_percent(overall)) " from the first to the last seven days" }
            }
        }
    }
}

fn nothing(daily: &SeriesScan) -> String {
    match (daily.values, daily.lacking) {
        (0, _) => "no day has enough requests".to_owned(),
        (values, 0) => format!("nothing in {values} days"),
        (values, lacking) => format!("nothing in {values} days; {lacking} more for a trend"),
    }
}

fn others(still: &[&EndpointDrift]) -> Markup {
    html! {
        section.panel #others {
            div.panel-head { h2 { "Other endpoints" } }
            div.scroll role="region" aria-label="Other endpoints" tabindex="0" {
                table {
                    thead { tr {
                        th scope="col" { "Endpoint" }
                        th.number scope="col" { "Share " small { "of CPU" } }
                        th.number scope="col" { "Change " small { "first to last week" } }
                        th scope="col" { "Found" }
                    } }
                    tbody {
                        @for of in still {
                            tr {
                                th scope="row" { bdi { (of.endpoint) } }
                                td.number { (text::percent(of.share)) }
                                td.number { (of.cost.overall.map_or_else(|| "–".to_owned(), text::signed_percent)) }
                                td { (nothing(&of.cost.daily)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn date(us: u64) -> Markup {
    html! { time datetime=(format::machine(us)) { (format::in_utc(us, "%-d %b %Y")) } }
}
