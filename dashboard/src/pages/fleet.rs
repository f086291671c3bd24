use appweight::api::ProcessView;
use appweight_wire::CounterStatus;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::choose;
use super::failure::Failure;
use crate::client::QueryClient;
use crate::format;
use crate::layout::{Page, Place};

#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    service: Option<String>,
}

/// The processes: what they run, what they can count, what the agent costs them.
pub(crate) async fn fleet(
    State(client): State<QueryClient>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(asked) = asked?;
    let service = match choose::service(&client, "/processes", asked.service).await? {
        Ok(service) => service,
        Err(page) => return Ok(page.into_response()),
    };
    let processes = client.processes(&service).await?;
    let page = Page {
        title: format!("Fleet of {service}"),
        place: Place::Fleet,
        refresh: Some(10),
        questions: vec![client.public(&QueryClient::processes_question(&service))],
        body: render(&processes),
        service: Some(service),
    };
    Ok(page.into_response())
}

fn render(processes: &[ProcessView]) -> Markup {
    // Told against the newest record, not this machine's clock, which may differ from the fleet's.
    let newest_us = processes.iter().map(|p| p.last_us).max().unwrap_or(0);
    html! {
        section.panel #fleet {
            div.panel-head { h1 { "Fleet" } p.scale { (processes.len()) " processes, by their newest records" } }
            @if processes.is_empty() {
                p.note { "No process has sent a record lately. Each sends one every few seconds while it runs." }
            } @else {
                div.scroll role="region" aria-label="Processes" tabindex="0" {
                    table {
                        thead { tr {
                            th scope="col" { "Host" }
                            th scope="col" { "Deploy" }
                            th.number scope="col" { "Age" }
                            th.number scope="col" { "CPU" }
                            th.number scope="col" { "RSS" }
                            th.number scope="col" { "Faults " small { "/s" } }
                            th.number scope="col" { "Switches " small { "/s" } }
                            th.number scope="col" { "Requests" }
                            th.number scope="col" { "Agent " small { "of CPU" } }
                            th.number scope="col" { "Dropped" }
                            th scope="col" { "Counters" }
                        } }
                        tbody { @for (i, p) in processes.iter().enumerate() { (row(p, i, newest_us)) } }
                    }
                }
            }
        }
    }
}

fn row(p: &ProcessView, i: usize, newest_us: u64) -> Markup {
    let silent_us = newest_us.saturating_sub(p.last_us);
    let silent = silent_us > p.width_us.saturating_mul(3);
    html! {
        tr.muted[silent] {
            th scope="row" title={ "process " (p.source) } {
                bdi { (p.host) }
                @if silent { span.tag { "silent for " (format::duration(silent_us)) } }
                @if let Some(ahead_us) = p.clock_ahead_us { span.tag { (clock(ahead_us)) } }
            }
            td { code { bdi { (p.deploy) } } }
            td.number { (format::duration(p.age_us)) }
            td.number { (cores(p)) }
            td.number { @if let Some(rss) = p.rss_bytes { (format::bytes(rss as f64)) } @else { "–" } }
            td.number title="page faults" { (per_second(p.page_faults, p)) }
            td.number title="context switches" { (per_second(p.context_switches, p)) }
            td.number { (format::count(p.requests_total)) }
            td.number { (agent(p)) }
            td.number.errors[p.dropped_total > 0] { (format::count(p.dropped_total)) }
            td { (counters(p, i)) }
        }
    }
}

/// How far the process's clock is from the collector's.
fn clock(ahead_us: i64) -> String {
    let apart = format::duration(ahead_us.unsigned_abs());
    let direction = if ahead_us > 0 { "ahead" } else { "behind" };
    format!("clock {apart} {direction}")
}

/// CPU time over the span's width: 100 % is one core.
fn cores(p: &ProcessView) -> String {
    if p.width_us == 0 {
        return "–".to_owned();
    }
    format::share(p.cpu_ns as f64 / (p.width_us as f64 * 1000.0))
}

fn agent(p: &ProcessView) -> String {
    if p.cpu_ns == 0 {
        return "–".to_owned();
    }
    format::share(p.agent_cpu_ns as f64 / p.cpu_ns as f64)
}

fn per_second(count: Option<u64>, p: &ProcessView) -> String {
    match count {
        Some(count) if p.width_us > 0 => format::estimate(count as f64 / (p.width_us as f64 / 1e6)),
        _ => "–".to_owned(),
    }
}

fn counters(p: &ProcessView, i: usize) -> Markup {
    let counters: &[CounterStatus] = &p.counters;
    let absent = counters.iter().filter(|c| c.read_by.is_none()).count();
    html! {
        details #{ "counters-" (i) } {
            summary {
                (counters.len() - absent) " read"
                @if absent > 0 { ", " (absent) " absent" }
            }
            ul.gates {
                @for c in counters {
                    li.passed[c.read_by.is_some()].failed[c.read_by.is_none()] {
                        span.sign aria-label=(if c.read_by.is_some() { "read" } else { "absent" }) {
                            (if c.read_by.is_some() { "✓" } else { "✗" })
                        }
                        strong { (c.name) }
                        span {
                            @if let Some(by) = &c.read_by { "by " (by) }
                            @if let Some(reason) = &c.absent_because { (reason) }
                        }
                    }
                }
            }
            @if p.clock_checks_total > 0 {
                p.note {
                    "The cheap CPU clock was set against the system call " (format::count(p.clock_checks_total)) " times, "
                    (format::count(p.clock_disagreements_total)) " of them too far apart."
                }
            }
        }
    }
}
