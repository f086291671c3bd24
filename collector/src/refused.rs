use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{Schema, Type};
use utoipa::openapi::{Content, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder};

/// How every question may be refused, for the document.
pub(crate) struct Refused;

/// The same for what takes no parameters.
pub(crate) struct Unread;

impl IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut responses = Unread::responses();
        let wrong = refused("A parameter that is wrong, unknown, given twice or not encoded as it must be (a % without two hexadecimal digits, or not UTF-8); `field` names it").build();
        responses.insert("400".to_owned(), RefOr::T(wrong));
        responses
    }
}

impl IntoResponses for Unread {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer);
        let retry_after = HeaderBuilder::new()
            .schema(Some(Schema::from(seconds)))
            .description(Some("Ask again after so many seconds"))
            .build();
        let unknown = refused("Without a token that may read");
        let failed = refused("The store failed").header("Retry-After", retry_after);
        [("401", unknown), ("503", failed)]
            .map(|(status, response)| (status.to_owned(), RefOr::T(response.build())))
            .into()
    }
}

/// How all that is sent to be kept may be refused, for the document.
pub(crate) struct NotWritten;

impl IntoResponses for NotWritten {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        [
            ("400", "Not of its format"),
            ("401", "Without a token that may write"),
            ("403", "The token is for another service"),
            ("408", "The body took too long to come, nothing was changed"),
            ("413", "Over the limit, as it was sent or decompressed"),
            ("422", "A value that cannot be"),
            ("503", "The store failed, nothing was changed"),
        ]
        .map(|(status, why)| (status.to_owned(), RefOr::T(refused(why).build())))
        .into()
    }
}

fn refused(description: &str) -> ResponseBuilder {
    let problem = Ref::from_schema_name("Problem");
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", Content::new(Some(problem)))
}
