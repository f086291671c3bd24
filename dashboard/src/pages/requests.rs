use appweight::api::RequestView;
use appweight_wire::{Age, RequestRecord};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::choose;
use super::failure::Failure;
use crate::client::{QueryClient, RequestsAsked};
use crate::layout::{Page, Place};
use crate::{format, href};
use appweight::api::Metric;

const SHOWN: u64 = 100;

#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    service: Option<String>,
    endpoint: Option<String>,
    deploy: Option<String>,
    order: Option<String>,
}

/// Recorded requests with all their facts, the costliest first.
pub(crate) async fn requests(
    State(client): State<QueryClient>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(asked) = asked?;
    let service = match choose::service(&client, "/endpoints/requests", asked.service).await? {
        Ok(service) => service,
        Err(page) => return Ok(page.into_response()),
    };
    // A form sends the fields that were left empty, too.
    let given = |field: &Option<String>| field.clone().filter(|f| !f.is_empty());
    let (endpoint, deploy, order) = (
        given(&asked.endpoint),
        given(&asked.deploy),
        given(&asked.order),
    );
    let question = RequestsAsked {
        service: &service,
        endpoint: endpoint.as_deref(),
        deploy: deploy.as_deref(),
        order: order.as_deref(),
        limit: Some(SHOWN),
    };
    let found = client.requests(&question).await?;
    let page = Page {
        title: format!("Requests of {service}"),
        place: Place::Requests,
        refresh: None,
        questions: vec![client.public(&QueryClient::requests_question(&question))],
        body: render(&question, &found),
        service: Some(service.clone()),
    };
    Ok(page.into_response())
}

fn render(asked: &RequestsAsked<'_>, found: &[RequestView]) -> Markup {
    let by_time = asked.order == Some("time");
    html! {
        section.panel #requests {
            div.panel-head {
                h1 {
                    @if by_time { "Newest" } @else { "Costliest" } " recorded requests"
                    @if let Some(endpoint) = asked.endpoint { " of " code { bdi { (endpoint) } } }
                }
            }
            (filter(asked, by_time))
            @if found.is_empty() {
                p.note {
                    "No recorded request matches. All requests are counted, but only one in N, and the costliest of each endpoint, is recorded, and kept for a shorter time. "
                    a href=(href::requests(asked.service, None, None)) { "Show all" } "."
                }
            } @else {
                div.scroll role="region" aria-label="Requests" tabindex="0" {
                    table {
                        thead { tr {
                            th scope="col" { "Began" }
                            th scope="col" { "Endpoint" }
                            th scope="col" { "Status" }
                            th.number scope="col" { "Instructions" }
                            th.number scope="col" { "CPU" }
                            th.number scope="col" { "Wall" }
                            th.number scope="col" { "RSS " small { "growth" } }
                            th.number scope="col" { "Allocated" }
                            th scope="col" { "Waited for" }
                            th.number scope="col" { "Polls " small { "hops" } }
                            th scope="col" { "Deploy " small { "host" } }
                        } }
                        tbody { @for view in found { (row(view)) } }
                    }
                }
            }
        }
    }
}

fn filter(asked: &RequestsAsked<'_>, by_time: bool) -> Markup {
    html! {
        form.filter method="get" action="/endpoints/requests" {
            input type="hidden" name="service" value=(asked.service);
            label { "Endpoint" input name="endpoint" value=[asked.endpoint] placeholder="any"; }
            label { "Deploy" input name="deploy" value=[asked.deploy] placeholder="any"; }
            label {
                "Order"
                select name="order" {
                    option value="cost" selected[!by_time] { "costliest first" }
                    option value="time" selected[by_time] { "newest first" }
                }
            }
            button type="submit" { "Show" }
        }
    }
}

fn row(view: &RequestView) -> Markup {
    let r = &view.request;
    html! {
        tr {
            td { time datetime=(format::machine(r.start_us)) title=(format::moment(r.start_us)) { (format::clock(r.start_us)) } }
            th scope="row" {
                @if let Some(method) = &r.method { span.muted { (method) " " } }
                bdi { (r.endpoint) }
                @if r.weight == 0 { span.tag title="Kept because it was costly; it stands for no other request" { "costly" } }
                @if r.age == Age::WarmingUp { span.tag { "warming up" } }
                @for flag in &r.flags { span.tag { bdi { (flag.name) } "=" bdi { (flag.value) } } }
            }
            td.errors[r.error] {
                @if let Some(status) = r.status { (status) } @else if r.error { "failed" } @else { "–" }
            }
            td.number { (maybe(r.instructions, |n| format::amount(n, Metric::Instructions))) }
            td.number { (maybe(r.cpu_ns, |n| format::amount(n, Metric::Cpu))) }
            td.number { (format::amount(r.wall_ns as f64, Metric::Cpu)) }
            td.number { (growth(r)) }
            td.number {
                (maybe(r.allocated_bytes, format::bytes))
                @if let Some(n) = r.allocations { br; small { (format::count(n)) " times" } }
            }
            td.waited {
                @for (name, d) in &r.downstream {
                    div { (format::count(d.calls)) " × " bdi { (name) } " " (format::amount(d.wall_ns as f64, Metric::Cpu)) }
                }
            }
            td.number {
                @if r.polls == 0 { "–" } @else { (format::count(r.polls)) br; small { (format::count(r.thread_hops)) } }
            }
            td { code { bdi { (view.deploy) } } br; small { bdi { (view.host) } } }
        }
    }
}

fn maybe(value: Option<u64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), |v| show(v as f64))
}

fn growth(r: &RequestRecord) -> String {
    match (r.rss_start_bytes, r.rss_end_bytes) {
        (Some(start), Some(end)) => format::bytes(end as f64 - start as f64),
        _ => "–".to_owned(),
    }
}
