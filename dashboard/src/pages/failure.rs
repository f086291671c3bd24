use axum::extract::rejection::QueryRejection;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use maud::{Markup, html};

use crate::client::QueryError;
use crate::layout::{Page, Place};

/// Why there is no page, as a page.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    text: String,
    field: Option<String>,
}

impl Failure {
    /// With a reason of the dashboard's own.
    pub(super) fn of(status: StatusCode, text: String) -> Self {
        Self {
            status,
            text,
            field: None,
        }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let status = error.status();
        if status.is_server_error() {
            tracing::warn!(%error, "the query API gave no answer");
        }
        let field = match &error {
            QueryError::Refused(problem) => problem.field.clone(),
            _ => None,
        };
        Self {
            status,
            text: error.to_string(),
            field,
        }
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            text: rejection.body_text(),
            field: None,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (heading, advice) = advice(self.status);
        let page = Page {
            title: heading.to_owned(),
            service: None,
            place: Place::Elsewhere,
            // A collector that is started again is a page again.
            refresh: (self.status == StatusCode::BAD_GATEWAY).then_some(5),
            questions: Vec::new(),
            body: html! {
                section.empty {
                    p.code { (self.status.as_u16()) }
                    h1 { (heading) }
                    p.reason { (self.text) @if let Some(field) = &self.field { " (" code { (field) } ")" } }
                    p { (advice) }
                }
            },
        };
        page.with_status(self.status)
    }
}

fn advice(status: StatusCode) -> (&'static str, Markup) {
    match status {
        StatusCode::NOT_FOUND => (
            "Not found",
            html! { "Old data may have been deleted, or the address has a typing error. " a href="/" { "To the overview" } "." },
        ),
        StatusCode::BAD_GATEWAY => (
            "The collector gives no answer",
            html! { "Is it running, and does the dashboard have its address? This page tries again by itself." },
        ),
        _ => (
            "This cannot be answered",
            html! { a href="/" { "To the overview" } "." },
        ),
    }
}

/// The page for an address that there is not.
pub(crate) async fn not_found() -> Failure {
    Failure {
        status: StatusCode::NOT_FOUND,
        text: "There is no page at this address.".to_owned(),
        field: None,
    }
}
