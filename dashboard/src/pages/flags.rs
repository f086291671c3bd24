use appweight::api::{DetectedVerdict, FlagReading, FlagReport, FlagValue, FlagsReport};
use appweight::text;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::detected::{look, table};
use super::failure::Failure;
use super::{choose, time};
use crate::client::QueryClient;
use crate::layout::{Page, Place};
use crate::look::Look;
use crate::{format, glyph};

#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    service: Option<String>,
}

/// What each value of a feature flag costs, or goes along with.
pub(crate) async fn flags(
    State(client): State<QueryClient>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(asked) = asked?;
    let service = match choose::service(&client, "/flags", asked.service).await? {
        Ok(service) => service,
        Err(page) => return Ok(page.into_response()),
    };
    let report = client.flags(&service).await?;
    let page = Page {
        title: format!("Flags of {service}"),
        place: Place::Flags,
        refresh: None,
        questions: vec![client.public(&QueryClient::flags_question(&service))],
        body: render(&service, &report),
        service: Some(service),
    };
    Ok(page.into_response())
}

fn render(service: &str, report: &FlagsReport) -> Markup {
    html! {
        h1.visually-hidden { "Flags of " (service) }
        @if report.flags.is_empty() {
            section.empty #flags {
                h2 { "No request told a flag" }
                p {
                    "Where the service asks for a feature flag, it can tell the value: " code { "appweight_agent::flag(\"ranker\", \"v2\")" }
                    ". Tell the value that changes nothing too. Each is then held against the others."
                }
            }
        } @else {
            section.panel #about {
                div.panel-head { h2 { "What flags cost" } }
                p.note {
                    "Each value is held against the other values of its flag, minute by minute inside endpoint, cluster and deploy, from "
                    (time(report.read_since_us)) " to " (time(report.until_us)) "."
                    @if report.read_since_us > report.from_us {
                        " There were too many cells to read them from " (time(report.from_us)) " on."
                    }
                    @if report.left_out_values > 0 {
                        " " (report.left_out_values) " values of few requests were left out."
                    }
                }
            }
            @for (at, flag) in report.flags.iter().enumerate() { (panel(at, flag)) }
        }
    }
}

fn panel(at: usize, flag: &FlagReport) -> Markup {
    let all = flag.values.iter();
    let changes = all.flat_map(|value| {
        let said = |verdict| look_of(verdict, value.reads_as);
        let changes = value.endpoints.iter().chain(&value.total);
        changes.filter_map(move |of| Some((said(of.verdict), of.change.as_ref()?)))
    });
    let scale = glyph::scale(changes);
    html! {
        section.panel #(format!("flag-{at}")) {
            div.panel-head {
                h2 { "Flag " bdi { (flag.flag) } }
                @if flag.values.iter().any(|value| !value.endpoints.is_empty()) {
                    p.scale { "Bars: " (format::percent(-scale)) " to " (format::percent(scale)) }
                }
            }
            @for (i, value) in flag.values.iter().enumerate() {
                (of_value(&format!("flag-{at}-{i}"), flag, value, scale))
            }
        }
    }
}

fn of_value(id: &str, flag: &FlagReport, value: &FlagValue, scale: f64) -> Markup {
    let name = format!("{} of {}", value.value, flag.flag);
    html! {
        h3 {
            bdi { (value.value) } " "
            small {
                "against " bdi { (text::flag_base(flag)) } ", " (text::percent(value.share)) " of their requests"
            }
        }
        p.note {
            strong {
                @match value.reads_as {
                    FlagReading::Cost => "A cost",
                    FlagReading::Association => "An association, not a cost",
                }
            }
            ": " (value.because) "."
        }
        @if value.endpoints.is_empty() {
            p.note { "Nothing to compare: no endpoint had both at the same time." }
        } @else {
            (table(id, &name, &value.endpoints, value.total.as_ref(), scale, |verdict| {
                (look_of(verdict, value.reads_as), text::flag_verdict(verdict, value.reads_as))
            }))
        }
    }
}

/// What goes along with a value is no finding, and does not look like one.
fn look_of(verdict: DetectedVerdict, reads_as: FlagReading) -> Look {
    match reads_as {
        FlagReading::Cost => look(verdict),
        FlagReading::Association => Look::Undecided,
    }
}
