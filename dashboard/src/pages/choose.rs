//! Which service a page is about: the one named, the only one, or the reader's choice.

use appweight::api::ServiceSummary;
use maud::{Markup, html};

use super::{failure::Failure, time};
use crate::client::QueryClient;
use crate::href;
use crate::layout::{Page, Place, SOON};

/// The service, or the page on which to choose one.
pub(super) async fn service(
    client: &QueryClient,
    path: &str,
    named: Option<String>,
) -> Result<Result<String, Page>, Failure> {
    if let Some(service) = named.filter(|s| !s.is_empty()) {
        return Ok(Ok(service));
    }
    let mut services = client.services().await?;
    if services.len() == 1 {
        return Ok(Ok(services.remove(0).service));
    }
    let (title, body) = if services.is_empty() {
        ("No data yet", nothing_yet())
    } else {
        ("Services", picker(path, &services))
    };
    Ok(Err(Page {
        title: title.to_owned(),
        service: None,
        place: Place::Elsewhere,
        refresh: SOON,
        questions: vec![client.public("/v1/services")],
        body,
    }))
}

fn picker(path: &str, services: &[ServiceSummary]) -> Markup {
    html! {
        section {
            h1 { "Services" }
            ul.services {
                @for s in services {
                    li {
                        a href=(href::with_query(path, &[("service", Some(s.service.clone()))])) {
                            strong { bdi { (s.service) } }
                            span {
                                @if let Some(deploy) = &s.deploy { "runs " code { bdi { (deploy) } } ", " }
                                "last seen " (time(s.last_us))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a collector without a single record shows.
pub(super) fn nothing_yet() -> Markup {
    html! {
        section.empty {
            h1 { "No data yet" }
            p { "Start a service with the agent in it, and its weight appears here by itself." }
            pre { code {
                "let agent = appweight_agent::Agent::from_env(\"my-service\");\n"
                "let app = axum::Router::new()\n    .route(\"/feed\", get(feed))\n    .layer(agent.layer());"
            } }
            p { "Where to send is told by " code { "APPWEIGHT_COLLECTOR" } ". “Embed the agent” in the README has it in ten lines; " code { "cargo demo" } " shows a whole day of deploys." }
        }
    }
}
