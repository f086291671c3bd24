//! Taking batches and deploys.

use std::sync::Arc;
use std::time::{Duration, Instant};

use appweight::api::Problem;
use appweight::cells;
use appweight_wire::{Batch, Deploy, decode_deploy};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::body::{self, Limits};
use crate::clocks;
use crate::committer::{Full, NotKept};
use crate::encoding::Encoding;
use crate::metrics::{Outcome, RecordCounts};
use crate::problem::Refusal;
use crate::refused::NotWritten;
use crate::store::{NewBatch, PostedDeploy, PutOutcome};

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchReceipt {
    /// Whether the same batch had come before, so that nothing was added.
    pub duplicate: bool,
}

/// Takes a batch of records, once. Answered when it is safely stored.
#[utoipa::path(
    put,
    path = "/v1/batches/{uuid}",
    tag = "ingest",
    params(
        ("uuid" = String, Path, description = "The batch's id: the version 5 UUID of its source and sequence number"),
        ("Content-Encoding" = Option<String>, Header, description = "zstd if the body is compressed, else left out"),
        ("AppWeight-Sent-Us" = Option<u64>, Header, description = "When the client sends it by its clock, µs since the Unix epoch: by it a clock that is wrong is told")
    ),
    request_body(
        description = "A batch as docs/wire.md describes it, as MessagePack or, with the same field names, as JSON",
        content(
            (Vec<u8> = "application/msgpack"),
            (Object = "application/json")
        )
    ),
    responses(
        (status = 201, description = "Stored", body = BatchReceipt),
        (status = 200, description = "Known already, nothing was added", body = BatchReceipt),
        (status = 409, description = "Other bytes came under that id", body = Problem, content_type = "application/problem+json"),
        NotWritten,
    ),
    security((), ("write_token" = []))
)]
pub(crate) async fn put_batch(
    State(app): State<Arc<App>>,
    uuid: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (outcome, response) = match take_batch(&app, uuid, &headers, body).await {
        Ok(PutOutcome::Stored) => (
            Outcome::Stored,
            (StatusCode::CREATED, Json(BatchReceipt { duplicate: false })).into_response(),
        ),
        Ok(PutOutcome::Duplicate) => (
            Outcome::Duplicate,
            Json(BatchReceipt { duplicate: true }).into_response(),
        ),
        Ok(PutOutcome::Conflict) => {
            let refusal = Refusal::of(
                StatusCode::CONFLICT,
                "uuid",
                "Other bytes came under this id before: a source must not use a sequence number twice.",
            );
            (Outcome::Conflict, refusal.into_response())
        }
        Err(refusal) if refusal.status() == StatusCode::TOO_MANY_REQUESTS => {
            (Outcome::Busy, refusal.into_response())
        }
        Err(refusal) if refusal.status().is_server_error() => {
            (Outcome::Failed, refusal.into_response())
        }
        Err(refusal) => {
            tracing::debug!(?refusal, "refused a batch");
            (Outcome::Refused, refusal.into_response())
        }
    };
    app.metrics.batch(outcome);
    response
}

async fn take_batch(
    app: &App,
    uuid: Result<Path<String>, PathRejection>,
    headers: &HeaderMap,
    body: Body,
) -> Result<PutOutcome, Refusal> {
    let Path(uuid) = uuid?;
    let uuid: Uuid = uuid.parse().map_err(|error| {
        Refusal::of(
            StatusCode::BAD_REQUEST,
            "uuid",
            format!("not a UUID: {error}"),
        )
    })?;
    // Before the body is read, which may take its time.
    let came_us = app.options.clock.now_us();
    let limits = Limits::of(&app.options);
    let limit = limits.length;
    let writer = match app.options.access.writer(headers) {
        Ok(writer) => writer,
        Err(refusal) => {
            body::throw_away(headers, body, limits).await;
            return Err(refusal);
        }
    };
    let format = body::format_of(headers)?;
    let encoding = Encoding::of(headers)?;
    let Ok(mut seat) = app.committer.seat(body::length_of(headers, limit)) else {
        body::throw_away(headers, body, limits).await;
        return Err(busy(uuid));
    };
    let sent = body::read(headers, body, limits).await?;
    app.metrics.received(sent.len());
    let bytes = encoding.decode(sent, limit)?;
    seat.fit(bytes.len()).map_err(|Full| busy(uuid))?;
    let decoded = app.decoding.batch(&bytes, format, &*app.store, &mut seat);
    let (mut batch, packed) = decoded.await?;
    if batch.id() != uuid {
        return Err(Refusal::of(
            StatusCode::UNPROCESSABLE_ENTITY,
            "uuid",
            format!(
                "the id of batch {} of source {} is {}",
                batch.sequence,
                batch.source,
                batch.id()
            ),
        ));
    }
    let service = &batch.origin.service;
    writer.may_write(service, "origin.service")?;
    app.services
        .admit(service, "origin.service", &*app.store, came_us)
        .await?;
    let clock_ahead_us = clocks::ahead(headers, &batch, packed.as_ref(), came_us);
    if let Some(ahead_us) = clock_ahead_us {
        app.metrics.clock_apart(ahead_us);
    }
    let over_limit = app
        .endpoints
        .bound(&mut batch, packed.as_ref(), &*app.store, came_us)
        .await?;
    // Of records whose endpoint has another name by now the packed ones hold the old one.
    let packed = packed.filter(|_| over_limit == 0);
    if over_limit > 0 {
        seat.hold(&batch).map_err(|Full| busy(uuid))?;
    }
    let service = batch.origin.service.clone();
    let counts = RecordCounts::of(&batch, packed.as_ref());
    cells::fill_in(&mut batch);
    let minutes = app.detectors.minutes_of(&batch);
    let began = Instant::now();
    let received_us = app.options.clock.now_us();
    let lag_us = newest_end_us(&batch).map(|end_us| received_us.saturating_sub(end_us));
    let new = NewBatch {
        uuid,
        // Of what was compressed: a client may compress anew for a retry.
        digest: Sha256::digest(&bytes).into(),
        received_us,
        clock_ahead_us,
        packed,
        batch,
    };
    drop(bytes);
    let outcome = match app.committer.put(new, seat).await {
        Ok(outcome) => outcome,
        Err(NotKept::Full) => return Err(busy(uuid)),
        Err(NotKept::Failed(error)) => return Err(error.into()),
    };
    if outcome == PutOutcome::Stored {
        app.metrics.committed(began.elapsed());
        app.metrics.records(counts);
        if let Some(lag_us) = lag_us {
            app.metrics.arrived(Duration::from_micros(lag_us));
        }
        app.metrics.over_limit(&service, over_limit);
        if let Some(minutes) = minutes {
            app.metrics
                .late(app.detectors.note_stored(&service, &minutes));
        }
    }
    Ok(outcome)
}

/// When the last of a batch's cells and process records ended.
fn newest_end_us(batch: &Batch) -> Option<u64> {
    let cells = batch
        .cells
        .iter()
        .map(|cell| (cell.key.start_us, cell.key.width_us));
    let processes = batch
        .processes
        .iter()
        .map(|record| (record.start_us, record.width_us));
    cells
        .chain(processes)
        .map(|(start_us, width_us)| start_us.saturating_add(width_us))
        .max()
}

/// Batches that come at once are not to come again at once.
pub(crate) fn busy(uuid: Uuid) -> Refusal {
    const SPREAD_S: u128 = 5;
    Refusal::busy(
        1 + (uuid.as_u128() % SPREAD_S) as u64,
        "More batches wait than there is room for; nothing of this one was stored. Send the same bytes again later.",
    )
}

/// Starts, ends or describes a roll-out.
///
/// Without `started_us` it starts now; with `ended_us` alone the newest roll-out of that id ends. Sent
/// again with the same service, id and `started_us` it ends or describes the same roll-out.
#[utoipa::path(
    post,
    path = "/v1/deploys",
    tag = "ingest",
    params(("Content-Encoding" = Option<String>, Header, description = "zstd if the body is compressed, else left out")),
    request_body(content((Deploy = "application/json"), (Vec<u8> = "application/msgpack"))),
    responses(
        (status = 201, description = "A roll-out began", body = Deploy),
        (status = 200, description = "A known roll-out was changed", body = Deploy),
        (status = 404, description = "No roll-out of that id to end", body = Problem, content_type = "application/problem+json"),
        NotWritten,
    ),
    security((), ("write_token" = []))
)]
pub(crate) async fn post_deploy(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let writer = app.options.access.writer(&headers)?;
    let format = body::format_of(&headers)?;
    let posted = app.posts.read(&app.options, &headers, body).await?;
    let deploy = decode_deploy(&posted, format)?;
    drop(posted);
    writer.may_write(&deploy.service, "service")?;
    let now_us = app.options.clock.now_us();
    refuse_future(&deploy, now_us)?;
    app.services
        .admit(&deploy.service, "service", &*app.store, now_us)
        .await?;
    let id = deploy.id.clone();
    match app.store.post_deploy(deploy, now_us).await? {
        PostedDeploy::Created(deploy) => {
            tracing::info!(
                service = deploy.service,
                deploy = deploy.id,
                "a roll-out began"
            );
            Ok((StatusCode::CREATED, Json(deploy)).into_response())
        }
        PostedDeploy::Updated(deploy) => Ok(Json(deploy).into_response()),
        PostedDeploy::NothingToEnd => Err(Refusal::of(
            StatusCode::NOT_FOUND,
            "id",
            format!("There is no roll-out of {id} to end: post its start, or give started_us."),
        )),
    }
}

/// A roll-out far in the future would end every one before it then, and none would ever be judged.
fn refuse_future(deploy: &Deploy, now_us: u64) -> Result<(), Refusal> {
    const CLOCKS_APART_US: u64 = 3_600_000_000;
    for (name, time_us) in [
        ("started_us", Some(deploy.started_us)),
        ("ended_us", deploy.ended_us),
    ] {
        if time_us.is_some_and(|time_us| time_us > now_us.saturating_add(CLOCKS_APART_US)) {
            let detail = format!("It lies more than an hour in the future; here it is {now_us}.");
            return Err(Refusal::of(StatusCode::UNPROCESSABLE_ENTITY, name, detail));
        }
    }
    Ok(())
}

#[cfg(test)]
mod packed_tests;
#[cfg(test)]
mod tests;
