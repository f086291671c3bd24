//! What all pages have round them.

use axum::response::{Html, IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use maud::{DOCTYPE, Markup, html};

use crate::{assets, href};

/// Nothing from elsewhere, nothing inline: a name that slipped through unescaped could not run.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'",
);

/// How many seconds after which a page asks again while something on it moves.
pub(crate) const SOON: Option<u32> = Some(3);

/// Which of the service's pages this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Overview,
    Trends,
    Flags,
    Deploy,
    Fleet,
    Requests,
    Elsewhere,
}

/// A page before it is wrapped.
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) service: Option<String>,
    pub(crate) place: Place,
    /// After how many seconds it asks again; never if it shows what is over.
    pub(crate) refresh: Option<u32>,
    /// The questions behind it, as a browser can ask them.
    pub(crate) questions: Vec<String>,
    pub(crate) body: Markup,
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        Html(self.render().into_string()).into_response()
    }
}

impl Page {
    pub(crate) fn with_status(self, status: StatusCode) -> Response {
        (status, self).into_response()
    }

    fn render(self) -> Markup {
        let seconds = self.refresh;
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · AppWeight" }
                    link rel="stylesheet" href=(assets::style_href());
                    link rel="icon" href=(ICON);
                    script src=(assets::script_href()) {}
                    @if let Some(seconds) = seconds {
                        noscript { meta http-equiv="refresh" content=(seconds); }
                    }
                }
                body data-refresh=[seconds] {
                    a.skip href="#main" { "Skip to the content" }
                    (self.header())
                    main #main { (self.body) }
                    footer {
                        span { "Times are UTC." }
                        @if !self.questions.is_empty() {
                            span {
                                "This page as JSON: "
                                @for (i, question) in self.questions.iter().enumerate() {
                                    @if i > 0 { ", " }
                                    a href=(question) { (question_name(question)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn header(&self) -> Markup {
        let link = |place: Place, address: String, name: &str| {
            html! { a href=(address) aria-current=[(self.place == place).then_some("page")] { (name) } }
        };
        html! {
            header {
                a.brand href="/" {
                    svg viewBox="0 0 32 32" aria-hidden="true" {
                        path d="M6 27h20l-3-15H9z" {}
                        circle cx="16" cy="8" r="4" {}
                    }
                    "AppWeight"
                }
                @if let Some(service) = &self.service {
                    span.service { bdi { (service) } }
                    nav aria-label="Pages" {
                        (link(Place::Overview, href::home(service), "Weight"))
                        (link(Place::Trends, href::trends(service, None), "Trends"))
                        (link(Place::Flags, href::flags(service), "Flags"))
                        (link(Place::Fleet, href::fleet(service), "Fleet"))
                        (link(Place::Requests, href::requests(service, None, None), "Requests"))
                    }
                }
                button #theme type="button" hidden aria-label="Change between light and dark" {
                    svg viewBox="0 0 24 24" aria-hidden="true" {
                        circle cx="12" cy="12" r="9" {}
                        path d="M12 3a9 9 0 0 1 0 18z" {}
                    }
                }
            }
        }
    }
}

const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Cpath fill='%235a6ff0' d='M6 27h20l-3-15H9z'/%3E%3Ccircle fill='none' stroke='%235a6ff0' stroke-width='3' cx='16' cy='8' r='4'/%3E%3C/svg%3E";

fn question_name(question: &str) -> &str {
    let path = question.split('?').next().unwrap_or(question);
    path.find("/v1/").map_or(path, |at| &path[at + 4..])
}

/// Sets the headers that every answer of the dashboard has, where it does not have its own.
pub(crate) async fn harden(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    answer
}
