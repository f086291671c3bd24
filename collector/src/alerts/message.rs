//! What is told of an alert.

use appweight::api::{Alert, AlertState};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::hook::Form;

/// Slack cuts longer ones, 3,000 characters in one block.
const MOST_FINDINGS: usize = 10;

/// The body for those who understand that form. `pages` is where the dashboard is.
pub(super) fn body(form: &Form, alert: &Alert, pages: Option<&str>) -> Vec<u8> {
    let link = pages.map(|pages| link(alert, pages));
    let message = match form {
        Form::Webhook { .. } => json!({
            "type": format!("alert.{}", alert.state.name()),
            "link": link,
            "data": alert,
        }),
        Form::Slack => json!({ "text": text(alert, link.as_deref()) }),
    };
    message.to_string().into_bytes()
}

/// The same whenever the same is told.
pub(super) fn id(alert: &Alert) -> String {
    use sha2::{Digest, Sha256};

    let deploy = &alert.deploy;
    let key = json!([
        deploy.service,
        deploy.id,
        deploy.started_us,
        alert.state,
        alert.changed_us
    ]);
    let digest = Sha256::digest(key.to_string());
    let hex: String = digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("alert_{hex}")
}

/// The deploy's page.
fn link(alert: &Alert, pages: &str) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let deploy = &alert.deploy;
    format!(
        "{}/deploys/{}?service={}&started_us={}",
        pages.trim_end_matches('/'),
        encode(&deploy.id),
        encode(&deploy.service),
        deploy.started_us
    )
}

fn text(alert: &Alert, link: Option<&str>) -> String {
    let deploy = &alert.deploy;
    let what = format!("{} {}", escape(&deploy.service), escape(&deploy.id));
    let who = alert
        .by
        .as_deref()
        .map_or_else(String::new, |by| format!(" by {}", escape(by)));
    let mut text = match alert.state {
        AlertState::Open => format!("*{what}*: {}", escape(&alert.headline)),
        AlertState::Acknowledged => format!("*{what}*: acknowledged{who}"),
        AlertState::Accepted => format!("*{what}*: accepted{who}"),
        AlertState::Resolved => match &alert.resolved_by {
            Some(by) => format!(
                "*{what}*: resolved, as light as before since {}",
                escape(by)
            ),
            None => format!("*{what}*: resolved"),
        },
    };
    if let Some(reason) = &alert.reason {
        text.push_str(&format!(": {}", escape(reason)));
    }
    if alert.state == AlertState::Open {
        if let Some(title) = &deploy.title {
            text.push_str(&format!("\n_{}_", escape(title)));
        }
        for finding in alert.findings.iter().take(MOST_FINDINGS) {
            text.push_str(&format!("\n• {}", escape(&finding.text)));
        }
        if let Some(more @ 1..) = alert.findings.len().checked_sub(MOST_FINDINGS) {
            text.push_str(&format!("\n• and {more} more"));
        }
    }
    if let Some(link) = link {
        text.push_str(&format!("\n<{link}|Open its page>"));
    }
    text
}

/// Slack's three characters that say what is no text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use appweight::api::Finding;
    use appweight_wire::Deploy;

    use super::*;

    fn alert() -> Alert {
        Alert {
            deploy: Deploy {
                service: "photo".into(),
                id: "8f2c/1?a=<b>".into(),
                started_us: 7,
                title: Some("feed & stories".into()),
                ..Deploy::default()
            },
            headline: "Heavier: /feed +17 % CPU".into(),
            findings: vec![Finding {
                kind: None,
                endpoint: None,
                heavier: true,
                change: None,
                cost: None,
                text: "/feed <!channel> +17 %".into(),
            }],
            opened_us: 9,
            state: AlertState::Open,
            changed_us: 9,
            by: None,
            reason: None,
            resolved_by: None,
        }
    }

    fn slack(alert: &Alert) -> String {
        let body = body(&Form::Slack, alert, Some("http://h:1/"));
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        body["text"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_channel_reads_what_happened_and_nothing_in_it_is_taken_for_a_command() {
        assert_eq!(
            slack(&alert()),
            "*photo 8f2c/1?a=&lt;b&gt;*: Heavier: /feed +17 % CPU\n_feed &amp; stories_\n• /feed &lt;!channel&gt; +17 %\n\
            <http://h:1/deploys/8f2c%2F1%3Fa%3D%3Cb%3E?service=photo&started_us=7|Open its page>"
        );
        let accepted = Alert {
            state: AlertState::Accepted,
            by: Some("Ada".into()),
            reason: Some("two models".into()),
            ..alert()
        };
        assert!(
            slack(&accepted)
                .starts_with("*photo 8f2c/1?a=&lt;b&gt;*: accepted by Ada: two models\n<")
        );
        let resolved = Alert {
            state: AlertState::Resolved,
            resolved_by: Some("9e".into()),
            ..alert()
        };
        assert!(slack(&resolved).contains("as light as before since 9e"));
    }

    #[test]
    fn a_program_reads_the_alert_as_the_api_tells_it() {
        let body = body(&Form::Webhook { key: None }, &alert(), None);
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["type"], "alert.open");
        assert_eq!(body["link"], serde_json::Value::Null);
        let read: Alert = serde_json::from_value(body["data"].clone()).unwrap();
        assert_eq!(read, alert());
    }

    #[test]
    fn the_id_is_that_of_what_is_told() {
        let acknowledged = Alert {
            state: AlertState::Acknowledged,
            ..alert()
        };
        assert_eq!(id(&alert()), id(&alert()));
        assert_ne!(id(&alert()), id(&acknowledged));
    }
}
