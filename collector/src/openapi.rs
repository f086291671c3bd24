use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::{ingest, query, routes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "AppWeight collector",
        description = "Takes batches of cells and records, judges deploys, answers queries. Times are µs since the Unix epoch, CPU is ns, changes are fractions. Whatever is refused is answered as application/problem+json (RFC 9457). What is under /v1 keeps its meaning: fields and parameters are only added. docs/api.md tells the rest."
    ),
    // A type that parameters alone have is not found by itself.
    components(schemas(crate::store::RequestOrder)),
    modifiers(&Tokens),
    paths(
        ingest::put_batch,
        ingest::post_deploy,
        query::fleet::services,
        query::alerts::list,
        query::alerts::say,
        query::deploys::list,
        query::deploys::one,
        query::weight::weight,
        query::compare::compare,
        query::drift::drift,
        query::flags::flags,
        query::profiles::list,
        query::profiles::one,
        query::profiles::diff,
        query::fleet::processes,
        query::fleet::requests,
        routes::healthz,
        routes::metrics,
        routes::openapi_json,
    ),
    tags(
        (name = "ingest", description = "For agents and the CI"),
        (name = "query", description = "For the dashboard, the gate and everyone else"),
        (name = "operation", description = "For whoever runs the collector")
    )
)]
struct Api;

/// What is presented, where the collector asks for it.
struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        for name in ["read_token", "write_token"] {
            let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
            components.add_security_scheme(name, bearer);
        }
    }
}

/// The OpenAPI document of the whole HTTP API.
#[must_use]
pub fn document() -> Document {
    Api::openapi()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_tells_how_it_is_refused_and_how_large_its_numbers_may_be() {
        let document = serde_json::to_value(document()).unwrap();
        let mut questions = 0;
        for (path, operations) in document["paths"].as_object().unwrap() {
            let Some(question) = operations.get("get") else {
                continue;
            };
            if question["tags"][0] != "query" {
                continue;
            }
            questions += 1;
            for status in ["200", "400", "401", "503"] {
                assert!(question["responses"][status].is_object(), "{path} {status}");
            }
            for parameter in question["parameters"].as_array().unwrap() {
                let schema = &parameter["schema"];
                if schema["type"] == "integer" {
                    assert!(schema["maximum"].is_u64(), "{path} {parameter}");
                    assert!(schema["minimum"].is_u64(), "{path} {parameter}");
                }
            }
        }
        assert_eq!(questions, 13);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = serde_json::to_value(document()).unwrap();
        let text = document.to_string();
        let references: Vec<&str> = text
            .split("\"$ref\":\"#")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(references.len() > 20, "{references:?}");
        for reference in references {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
        assert!(
            document
                .pointer(
                    "/paths/~1v1~1batches~1{uuid}/put/requestBody/content/application~1msgpack"
                )
                .is_some()
        );
    }
}
