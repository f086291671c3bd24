use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::schema::{Schema, Type};
use utoipa::openapi::{Content, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder};

type Responses = BTreeMap<String, RefOr<Response>>;

/// How every question may be refused, for the document.
pub(crate) struct Refused;

/// The same for what takes no parameters and stands in no line.
pub(crate) struct Unread;

/// The same for what needs no token either.
pub(crate) struct Failed;

/// How all that is sent to be kept may be refused, for the document.
pub(crate) struct NotWritten;

impl IntoResponses for Refused {
    fn responses() -> Responses {
        let mut responses = Unread::responses();
        responses.extend(told([
            (
                "400",
                "A parameter that is wrong, unknown, given twice or not encoded as it must be (a % without two hexadecimal digits, or not UTF-8); `field` names it",
            ),
            ("429", "Too many questions wait"),
        ]));
        responses
    }
}

impl IntoResponses for Unread {
    fn responses() -> Responses {
        let mut responses = Failed::responses();
        responses.extend(told([("401", "Without a token that may read")]));
        responses
    }
}

impl IntoResponses for Failed {
    fn responses() -> Responses {
        told([("503", "The store failed")])
    }
}

impl IntoResponses for NotWritten {
    fn responses() -> Responses {
        told([
            ("400", "Not of its format"),
            ("401", "Without a token that may write"),
            ("403", "The token is for another service"),
            ("408", "The body took too long to come, nothing was changed"),
            ("413", "Over the limit, as it was sent or decompressed"),
            (
                "415",
                "Of a type that is not taken here, or compressed by something else than zstd",
            ),
            ("422", "A value that cannot be"),
            ("429", "Too many wait, nothing was changed"),
            ("503", "The store failed, nothing was changed"),
        ])
    }
}

fn told<const N: usize>(statuses: [(&str, &str); N]) -> Responses {
    statuses
        .map(|(status, why)| (status.to_owned(), RefOr::T(refused(status, why))))
        .into()
}

/// With the header that a [`Refusal`](crate::problem::Refusal) of that status has.
fn refused(status: &str, why: &str) -> Response {
    let problem = Ref::from_schema_name("Problem");
    let response = ResponseBuilder::new()
        .description(why)
        .content("application/problem+json", Content::new(Some(problem)));
    let response = match status {
        "401" => response.header("WWW-Authenticate", header(Type::String, "Bearer")),
        "415" => {
            let what =
                "What would have been understood, where it is the Content-Encoding that was not";
            response.header("Accept-Encoding", header(Type::String, what))
        }
        "429" | "503" => {
            let what = "Come again after so many seconds";
            response.header("Retry-After", header(Type::Integer, what))
        }
        _ => response,
    };
    response.build()
}

fn header(schema_type: Type, what: &str) -> Header {
    let schema = ObjectBuilder::new().schema_type(schema_type);
    HeaderBuilder::new()
        .schema(Some(Schema::from(schema)))
        .description(Some(what))
        .build()
}

#[cfg(test)]
mod tests;
