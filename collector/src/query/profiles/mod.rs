//! Questions about function profiles.

mod choice;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use appweight::api::{Problem, ProfileDiff, ProfileOf, ProfileSummary, ProfileView};
use appweight::profile::{
    Profile, Wrappers, diff as set_side_by_side, look_through, prune, to_tree,
};
use appweight_wire::{Age, InstructionSource, Kind, Taken};
use axum::Json;
use axum::extract::State;
use http::{StatusCode, Uri};

use self::choice::{Wanted, offered, ranked};
use super::compare::known;
use super::page::{self, Page};
use super::params::Params;
use crate::app::App;
use crate::off_the_runtime::off_the_runtime;
use crate::problem::Refusal;
use crate::refused::Refused;
use crate::store::ProfileQuery;

/// Nodes of a tree that are answered if nothing else is asked for: more than a screen shows, and a few megabytes.
const NODES: u32 = 10_000;
/// The most that can be asked for.
const MOST_NODES: u32 = 100_000;
/// How sure all intervals of functions are together, if nothing else is asked for.
const CONFIDENCE: f64 = 0.99;

/// What profiles there are of a deploy, by endpoint and timer.
#[utoipa::path(
    get,
    path = "/v1/profiles",
    tag = "query",
    params(
        ("service" = Option<String>, Query, description = "May be left out if there is only one"),
        ("deploy" = String, Query, description = "The deploy's id", min_length = 1),
        ("limit" = Option<u32>, Query, description = "At most so many on a page, by default 1000", minimum = 1, maximum = 10000),
        ("cursor" = Option<String>, Query, description = "The next page: as the `Link` of the one before has it, with the same other parameters but for `limit`"),
    ),
    responses(
        (status = 200, body = Vec<ProfileSummary>, headers(("Link" = String, description = "The next page, if there is one, as `<?…>; rel=\"next\"`"))),
        (status = 404, description = "Unknown service or deploy", body = Problem, content_type = "application/problem+json"),
        Refused,
    ),
    security((), ("read_token" = []))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Page<ProfileSummary>, Refusal> {
    let params = Params::of(&uri, &["service", "deploy", "limit", "cursor"])?;
    let limit = params.limit(1_000, 10_000)?;
    let after: Option<ProfileOf> = page::cursor(&params)?;
    let service = params.service(&app).await?;
    let deploy = params.required("deploy")?;
    known(&app, &service, "deploy", &deploy).await?;
    let mut summaries = app.store.profiles(&service, &deploy).await?;
    summaries.retain(|summary| after.as_ref().is_none_or(|after| summary.of > *after));
    summaries.sort_unstable_by(|a, b| a.of.cmp(&b.of));
    Ok(Page::of(summaries, limit, &params, |last| last.of.clone()))
}

/// Which function of an endpoint costs what under a deploy, in which chain of calls.
#[utoipa::path(
    get,
    path = "/v1/profile",
    tag = "query",
    params(
        ("service" = Option<String>, Query, description = "May be left out if there is only one"),
        ("deploy" = String, Query, description = "The deploy's id", min_length = 1),
        ("endpoint" = Option<String>, Query, description = "May be left out if only one was profiled. Given but empty: samples of whole processes that belong to no request"),
        ("timer" = Option<String>, Query, description = "`instructions`, `cpu`, `wall`, `allocated`, …; if left out the surest that there is of instructions, cpu and user_cpu (sampled) and that tells of functions, else any"),
        ("unit" = Option<String>, Query, description = "What the timer counts in, if it did so in several"),
        ("taken" = Option<Taken>, Query, description = "`scopes` or `sampled`; if left out scopes, where there are any that tell of functions"),
        ("kind" = Option<Kind>, Query, description = "`request` or `task`; requests if left out and there are any"),
        ("age" = Option<Age>, Query, description = "`warm` or `warming_up`; warm if left out and there are any"),
        ("instruction_source" = Option<InstructionSource>, Query, description = "How instructions were counted, if it was in several ways"),
        ("nodes" = Option<u32>, Query, description = "At most so many nodes, the costliest, by default 10000; the others are folded into their callers", minimum = 1, maximum = 100000),
    ),
    responses(
        (status = 200, body = ProfileView),
        (status = 404, description = "Unknown service or deploy, or no such profile of it: then what there is", body = Problem, content_type = "application/problem+json"),
        Refused,
    ),
    security((), ("read_token" = []))
)]
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Json<ProfileView>, Refusal> {
    let params = Params::of(
        &uri,
        &[&["service", "deploy", "nodes"], Wanted::PARAMS].concat(),
    )?;
    let service = params.service(&app).await?;
    let deploy = params.required("deploy")?;
    let nodes = params.number_within("nodes", NODES, MOST_NODES)?;
    let wanted = Wanted::of(&params)?;
    let offers = offers(&app, &service, "deploy", &deploy, &wanted).await?;
    let found = first_that_tells(&app, &service, [&deploy], offers).await?;
    let Some((summary, [whole])) = found else {
        return Err(nothing(&deploy));
    };
    let tree = off_the_runtime(move || to_tree(&prune(&whole, nodes as usize))).await?;
    Ok(Json(ProfileView {
        service,
        deploy,
        summary,
        tree,
    }))
}

/// What a deploy changed in an endpoint, function by function, per request.
#[utoipa::path(
    get,
    path = "/v1/profile/diff",
    tag = "query",
    params(
        ("service" = Option<String>, Query, description = "May be left out if there is only one"),
        ("base" = String, Query, description = "The old deploy's id", min_length = 1),
        ("head" = String, Query, description = "The new deploy's id", min_length = 1),
        ("endpoint" = Option<String>, Query, description = "May be left out if only one was profiled"),
        ("timer" = Option<String>, Query, description = "`instructions`, `cpu`, `wall`, `allocated`, …; if left out the surest that there is of instructions, cpu and user_cpu (sampled) and that tells of functions, else any"),
        ("unit" = Option<String>, Query, description = "What the timer counts in, if it did so in several"),
        ("taken" = Option<Taken>, Query, description = "`scopes` or `sampled`; if left out scopes, where both deploys have them and they tell of functions"),
        ("kind" = Option<Kind>, Query, description = "`request` or `task`; requests if left out and both have them"),
        ("age" = Option<Age>, Query, description = "`warm` or `warming_up`; warm if left out and both have them"),
        ("instruction_source" = Option<InstructionSource>, Query, description = "How instructions were counted, if it was in several ways"),
        ("confidence" = Option<f64>, Query, description = "How sure it is that the intervals of all functions hold at once: between 0.5 and 1, by default 0.99", exclusive_minimum = 0.5, exclusive_maximum = 1.0),
        ("raw" = Option<bool>, Query, description = "`true`: look through nothing, not even the runtime's own frames"),
        ("limit" = Option<u32>, Query, description = "At most so many functions and moves, by default 100", minimum = 1, maximum = 10000),
    ),
    responses(
        (status = 200, body = ProfileDiff),
        (status = 404, description = "Unknown service or deploy, or no such profile of both: then what there is", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "No requests are behind a profile, so that there is no cost per request", body = Problem, content_type = "application/problem+json"),
        Refused,
    ),
    security((), ("read_token" = []))
)]
pub(crate) async fn diff(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Json<ProfileDiff>, Refusal> {
    const OWN: &[&str] = &["service", "base", "head", "confidence", "raw", "limit"];
    let params = Params::of(&uri, &[OWN, Wanted::PARAMS].concat())?;
    let service = params.service(&app).await?;
    let (base, head) = (params.required("base")?, params.required("head")?);
    let limit = params.limit(100, 10_000)? as usize;
    let confidence = confidence(&params)?;
    let raw = params.one_of("raw", &[("true", true), ("false", false)])?;
    let wanted = Wanted::of(&params)?;
    let before = offers(&app, &service, "base", &base, &wanted).await?;
    let after = offers(&app, &service, "head", &head, &wanted).await?;
    let both = before
        .into_iter()
        .filter(|old| after.iter().any(|new| new.of == old.of));
    let both: Vec<ProfileSummary> = both.collect();
    if both.is_empty() {
        let detail = format!(
            "No profile of {base} was taken as one of {head} was: /v1/profiles tells what there is of each."
        );
        return Err(Refusal::of(StatusCode::NOT_FOUND, "head", detail));
    }
    let found = first_that_tells(&app, &service, [&base, &head], both).await?;
    let Some((summary, sides)) = found else {
        return Err(nothing(&head));
    };
    let of = summary.of;
    let compared = off_the_runtime(move || {
        let wrappers = if raw == Some(true) {
            Wrappers::default()
        } else {
            Wrappers::of_rust()
        };
        let sides = sides.map(|side| look_through(&side, &wrappers));
        set_side_by_side(&sides[0], &sides[1], confidence)
    });
    let mut diff = compared
        .await?
        .map_err(|error| Refusal::of(StatusCode::CONFLICT, "endpoint", error.to_string()))?;
    let functions_total = diff.functions.len() as u64;
    diff.functions.truncate(limit);
    diff.moves.truncate(limit);
    Ok(Json(ProfileDiff {
        service,
        base,
        head,
        of,
        functions_total,
        diff,
    }))
}

async fn offers(
    app: &App,
    service: &str,
    param: &str,
    deploy: &str,
    wanted: &Wanted,
) -> Result<Vec<ProfileSummary>, Refusal> {
    known(app, service, param, deploy).await?;
    let all = app.store.profiles(service, deploy).await?;
    offered(all, wanted, param, deploy)
}

/// Of these deploys the profiles of the first offer in which a function is told; if none is in any, of the first. A service
/// without scopes has profiles of scopes too, which are of its requests as a whole: sampled stacks tell more then.
/// `None` if what was listed was forgotten meanwhile.
async fn first_that_tells<const N: usize>(
    app: &App,
    service: &str,
    deploys: [&str; N],
    offers: Vec<ProfileSummary>,
) -> Result<Option<(ProfileSummary, [Profile; N])>, Refusal> {
    let mut first = None;
    for summary in ranked(offers) {
        let mut sides = Vec::with_capacity(N);
        for deploy in deploys {
            sides.extend(merged(app, service, deploy, &summary.of).await?);
        }
        let Ok(sides) = <[Profile; N]>::try_from(sides) else {
            continue;
        };
        if sides.iter().any(|side| side.nodes().len() > 1) {
            return Ok(Some((summary, sides)));
        }
        first.get_or_insert((summary, sides));
    }
    Ok(first)
}

async fn merged(
    app: &App,
    service: &str,
    deploy: &str,
    of: &ProfileOf,
) -> Result<Option<Profile>, Refusal> {
    let query = ProfileQuery {
        service: service.to_owned(),
        deploy: deploy.to_owned(),
        of: of.clone(),
    };
    let parts = app.store.profile(query).await?;
    let sum = off_the_runtime(move || {
        parts.into_iter().reduce(|mut sum, part| {
            sum.merge(&part);
            sum
        })
    });
    Ok(sum.await?)
}

fn nothing(deploy: &str) -> Refusal {
    Refusal::of(
        StatusCode::NOT_FOUND,
        "deploy",
        format!("There is no profile of deploy {deploy:?}."),
    )
}

fn confidence(params: &Params) -> Result<f64, Refusal> {
    let Some(text) = params.given("confidence") else {
        return Ok(CONFIDENCE);
    };
    match text.parse::<f64>() {
        Ok(confidence) if confidence > 0.5 && confidence < 1.0 => Ok(confidence),
        _ => {
            let detail = "It lies between 0.5 and 1, both excluded.";
            Err(Refusal::of(StatusCode::BAD_REQUEST, "confidence", detail))
        }
    }
}
