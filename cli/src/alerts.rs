use std::io::Write;

use appweight::api::{Alert, AlertChange, AlertState};
use clap::{Subcommand, ValueEnum};

use crate::args::At;
use crate::format::Format;
use crate::units::minute;

/// Which alerts, or what is done about one.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AlertsArgs {
    #[command(flatten)]
    list: List,
    #[command(subcommand)]
    deed: Option<Deed>,
}

#[derive(Debug, clap::Args)]
struct List {
    /// The service; may be left out if there is only one
    #[arg(long, env = "APPWEIGHT_SERVICE", value_name = "NAME")]
    service: Option<String>,
    /// Only those; by default all that are not resolved
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<State>,
    /// How to print them
    #[arg(
        long,
        env = "APPWEIGHT_ALERTS_FORMAT",
        value_enum,
        default_value = "table",
        value_name = "FORMAT"
    )]
    format: Format,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// Nobody has looked at it
    Open,
    /// Somebody looks into it
    Acknowledged,
    /// It is to stay
    Accepted,
    /// As light as before
    Resolved,
    /// All of them
    All,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// Say that somebody looks into it
    Acknowledge(Said),
    /// Say that it is to stay, and why
    Accept(Said),
    /// Say that it is open again
    Reopen(Said),
}

#[derive(Debug, clap::Args)]
struct Said {
    /// The deploy that made the service heavier
    deploy: String,
    /// The service
    #[arg(long, env = "APPWEIGHT_SERVICE", value_name = "NAME")]
    service: String,
    /// Why; what is accepted needs a reason
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who says so
    #[arg(long, env = "APPWEIGHT_ALERT_BY", value_name = "NAME")]
    by: Option<String>,
    /// Which roll-out of the deploy, by its start in µs; by default the newest
    #[arg(long, value_name = "MICROSECONDS")]
    started_us: Option<u64>,
    #[command(flatten)]
    at: At,
}

/// Prints alerts, or tells the collector what is done about one.
pub(crate) fn run(options: &AlertsArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    match &options.deed {
        None => list(&options.list, out),
        Some(Deed::Acknowledge(said)) => say(said, AlertState::Acknowledged, out),
        Some(Deed::Accept(said)) => say(said, AlertState::Accepted, out),
        Some(Deed::Reopen(said)) => say(said, AlertState::Open, out),
    }
}

fn list(options: &List, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut query: Vec<(&str, &str)> = Vec::new();
    query.extend(
        options
            .service
            .as_deref()
            .map(|service| ("service", service)),
    );
    let state = match options.state {
        Some(State::Open) => Some(AlertState::Open),
        Some(State::Acknowledged) => Some(AlertState::Acknowledged),
        Some(State::Accepted) => Some(AlertState::Accepted),
        Some(State::Resolved) => Some(AlertState::Resolved),
        None | Some(State::All) => None,
    };
    query.extend(state.map(|state| ("state", state.name())));
    let mut alerts: Vec<Alert> = options.at.client()?.get("/v1/alerts", &query)?;
    if options.state.is_none() {
        alerts.retain(|alert| alert.state != AlertState::Resolved);
    }
    options.format.print(out, &alerts, |alerts| {
        if alerts.is_empty() {
            return "no alerts\n".to_owned();
        }
        alerts.iter().map(lines).collect()
    })
}

fn say(said: &Said, state: AlertState, out: &mut dyn Write) -> anyhow::Result<()> {
    let change = AlertChange {
        service: said.service.clone(),
        deploy: said.deploy.clone(),
        started_us: said.started_us,
        state,
        by: said.by.clone(),
        reason: said.reason.clone(),
    };
    let client = said.at.client()?;
    let alert: Alert = client.post("/v1/alerts", &serde_json::to_vec(&change)?)?;
    write!(out, "{}", lines(&alert))?;
    Ok(())
}

/// What happened, and what is done about it.
fn lines(alert: &Alert) -> String {
    let mut text = format!(
        "{:12}  {}  {} {}: {}\n",
        alert.state.name(),
        minute(alert.opened_us),
        alert.deploy.service,
        alert.deploy.id,
        alert.headline
    );
    let mut done = Vec::new();
    if let Some(by) = &alert.by {
        done.push(format!("by {by}"));
    }
    if let Some(reason) = &alert.reason {
        done.push(reason.clone());
    }
    if let Some(deploy) = &alert.resolved_by {
        done.push(format!("as light as before since {deploy}"));
    }
    if !done.is_empty() {
        text.push_str(&format!("{:14}{}\n", "", done.join(": ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use appweight_wire::Deploy;

    use super::*;

    #[test]
    fn an_alert_reads_well() {
        let alert = Alert {
            deploy: Deploy {
                service: "photos".into(),
                id: "8f2c1a9".into(),
                ..Deploy::default()
            },
            headline: "Heavier: /feed +17.0 % CPU".into(),
            findings: Vec::new(),
            opened_us: 1_790_000_000_000_000,
            state: AlertState::Accepted,
            changed_us: 1_790_000_000_000_000,
            by: Some("Ada".into()),
            reason: Some("ranking by two models".into()),
            resolved_by: None,
        };
        assert_eq!(
            lines(&alert),
            "accepted      2026-09-21 14:13 UTC  photos 8f2c1a9: Heavier: /feed +17.0 % CPU\n              by Ada: ranking by two models\n"
        );
    }
}
