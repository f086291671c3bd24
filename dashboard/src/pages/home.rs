use appweight::api::{DeployStatus, DeploySummary, WeightPoint, WeightSeries};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::failure::Failure;
use super::{choose, deploy_list};
use crate::client::{QueryClient, Span};
use crate::layout::{Page, Place, SOON};
use crate::look::Look;
use crate::{chart, format, href, marks};

/// Roll-outs listed below the chart.
const DEPLOYS: u64 = 60;
const DAY_US: u64 = 86_400_000_000;
/// A service that was heard of this lately is live, and so is its page.
const LIVE_US: u64 = 180_000_000;

#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    service: Option<String>,
    from_us: Option<u64>,
    until_us: Option<u64>,
    window_us: Option<u64>,
}

/// What the service weighs, and which deploy moved it.
pub(crate) async fn home(
    State(client): State<QueryClient>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(asked) = asked?;
    let service = match choose::service(&client, "/", asked.service.clone()).await? {
        Ok(service) => service,
        Err(page) => return Ok(page.into_response()),
    };
    let span = Span {
        from_us: asked.from_us,
        until_us: asked.until_us,
        window_us: asked.window_us,
    };
    let (series, deploys) = tokio::join!(
        client.weight(&service, span),
        client.deploys(&service, DEPLOYS)
    );
    let (series, deploys) = (series?, deploys?);
    let page = Page {
        title: service.clone(),
        place: Place::Overview,
        refresh: is_live(&series, &deploys).then_some(SOON).flatten(),
        questions: vec![
            client.public(&QueryClient::weight_question(&service, span)),
            client.public(&QueryClient::deploys_question(&service, DEPLOYS)),
        ],
        body: render(&service, span, &series, &deploys),
        service: Some(service),
    };
    Ok(page.into_response())
}

fn is_live(series: &WeightSeries, deploys: &[DeploySummary]) -> bool {
    let now_us = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
    let last_us = series
        .points
        .last()
        .map_or(0, |p| p.start_us.saturating_add(p.width_us));
    last_us.saturating_add(LIVE_US) > now_us
        || deploys.iter().any(|d| d.status == DeployStatus::Rolling)
}

fn render(service: &str, span: Span, series: &WeightSeries, deploys: &[DeploySummary]) -> Markup {
    // The list may be shorter than the time that the chart shows, and the chart's than the list.
    let mut marked = series.deploys.clone();
    for d in deploys {
        let known = marked
            .iter()
            .any(|m| m.deploy.started_us == d.deploy.started_us && m.deploy.id == d.deploy.id);
        if !known {
            marked.push(d.clone());
        }
    }
    html! {
        h1.visually-hidden { "Weight of " (service) }
        (headline(series, deploys))
        @if series.points.is_empty() {
            section.empty #weight {
                h2 { "Nothing was measured in this time" }
                p { "The weight appears with the first process record, a few seconds after a service with the agent has started." }
            }
        } @else {
            section.panel #weight {
                div.panel-head {
                    h2 {
                        (format::metric_name(series.metric)) " per active user"
                    }
                    (ranges(service, span, series))
                    (marks::legend(&marked))
                }
                div.charts role="region" aria-label="Charts" tabindex="0" {
                    (chart::weight(series, &marked))
                    (chart::load(series))
                }
                (source_note(series))
                (beginning_note(service, span, series))
            }
        }
        (deploy_list::render(deploys))
    }
}

fn headline(series: &WeightSeries, deploys: &[DeploySummary]) -> Markup {
    let now = series.points.iter().rev().find(|p| p.weight.is_some());
    let what = format::metric_name(series.metric);
    html! {
        section.figures #now aria-label="The weight in numbers" {
            @if let Some((peak, weight)) = weighed(series.peak.as_ref()) {
                div.figure.main {
                    p.value { (format::amount(weight, series.metric)) }
                    p.what { (what) " per active user in the peak " (format::window(peak.width_us)) }
                    p.aside { (users(peak)) " at " (format::clock(peak.start_us)) }
                }
            }
            @if let Some((now, weight)) = weighed(now) {
                div.figure {
                    p.value { (format::amount(weight, series.metric)) }
                    p.what { "in the latest " (format::window(now.width_us)) }
                    p.aside { (users(now)) " at " (format::clock(now.start_us)) }
                }
            }
            @if !deploys.is_empty() {
                div.figure {
                    p.value { (deploys.len()) }
                    p.what { @if deploys.len() == 1 { "deploy" } @else { "deploys" } }
                    p.aside {
                        @for look in Look::ALL {
                            @let n = deploys.iter().filter(|d| Look::of_deploy(d) == look).count();
                            @if n > 0 { span.tally.(look.class()) { (look.icon()) (n) " " (look.word()) } }
                        }
                    }
                }
            }
        }
    }
}

fn weighed(point: Option<&WeightPoint>) -> Option<(&WeightPoint, f64)> {
    point.and_then(|p| Some((p, p.weight?)))
}

fn users(point: &WeightPoint) -> String {
    point.active_users.map_or_else(String::new, |n| {
        format!("{} active users", format::estimate(n))
    })
}

/// Links to shorter and longer times, counted back from the last window. The query API shows a
/// day unless it is asked for something else.
fn ranges(service: &str, span: Span, series: &WeightSeries) -> Markup {
    let first = series.points.first().map_or(0, |p| p.start_us);
    let last = series
        .points
        .last()
        .map_or(0, |p| p.start_us.saturating_add(p.width_us));
    let choices = [
        ("15 min", DAY_US / 96),
        ("1 h", DAY_US / 24),
        ("6 h", DAY_US / 4),
        ("7 d", DAY_US * 7),
    ];
    let address = |length: u64| {
        href::with_query(
            "/",
            &[
                ("service", Some(service.to_owned())),
                ("from_us", Some(last.saturating_sub(length).to_string())),
            ],
        )
    };
    let shown = last.saturating_sub(first);
    html! {
        @if shown > DAY_US / 96 || span.from_us.is_some() {
            nav.ranges aria-label="Time shown" {
                @for (name, length) in choices {
                    @if length < shown || span.from_us.is_some() || shown > DAY_US / 2 {
                        a href=(address(length)) { (name) }
                    }
                }
                a href=(href::home(service)) aria-current=[span.from_us.is_none().then_some("true")] { "last day" }
            }
        }
    }
}

/// Why less is shown than was asked for.
fn beginning_note(service: &str, span: Span, series: &WeightSeries) -> Markup {
    let first = series.points.first();
    let missing = first.zip(span.from_us).filter(|(first, from_us)| {
        first.start_us > from_us.saturating_add(first.width_us.saturating_mul(2))
    });
    html! {
        @if let Some((first, _)) = missing {
            p.note {
                "There is nothing from before " (format::moment(first.start_us))
                ": what is older is forgotten, after two days unless the collector is told otherwise. "
                a href=(href::trends(service, None)) { "Trends" }
                " have the peak of each day."
            }
        }
    }
}

fn source_note(series: &WeightSeries) -> Markup {
    html! {
        @if let Some(reason) = &series.instructions_absent_because {
            p.note {
                "Weighed in CPU time: instructions are not counted here, because " (reason.trim_end_matches('.')) "."
            }
        }
    }
}
