use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;

use crate::{ingest, query, routes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "AppWeight collector",
        description = "Takes batches of cells and records, judges deploys, answers queries. Times are µs since the Unix epoch, CPU is ns, changes are fractions. Whatever is refused is answered as application/problem+json (RFC 9457)."
    ),
    paths(
        ingest::put_batch,
        ingest::post_deploy,
        query::fleet::services,
        query::deploys::list,
        query::deploys::one,
        query::weight::weight,
        query::compare::compare,
        query::profiles::list,
        query::profiles::one,
        query::profiles::diff,
        query::fleet::processes,
        query::fleet::requests,
        routes::healthz,
        routes::metrics,
    ),
    tags(
        (name = "ingest", description = "For agents and the CI"),
        (name = "query", description = "For the dashboard, the gate and everyone else"),
        (name = "operation", description = "For whoever runs the collector")
    )
)]
struct Api;

/// The OpenAPI document of the whole HTTP API.
#[must_use]
pub fn document() -> Document {
    Api::openapi()
}

#[cfg(test)]
mod tests {
    use super::*;

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
