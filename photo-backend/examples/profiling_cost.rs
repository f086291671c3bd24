//! What profiling costs this service: the same requests in process, one side with no request profiled, the other with all. What
//! one request in a hundred costs is a hundredth of the difference, which is too small to be measured by itself.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use appweight_agent::{Agent, AppweightAlloc, Timer, thread_cpu_ns};
use axum::Router;
use axum::body::Body;
use http::{Method, Request};
use photo_backend::{App, Endpoint, Store, Variants, router, seed};
use tower::ServiceExt;

#[global_allocator]
static ALLOCATOR: AppweightAlloc = AppweightAlloc::system();

const USERS: u32 = 2_000;
/// Requests of a block; blocks of both sides take turns.
const BLOCK: usize = 50;
const TIME: Duration = Duration::from_secs(60);

fn agent(profile_one_in: u64) -> Agent {
    Agent::builder()
        .service("photos")
        .collector("http://127.0.0.1:1")
        .profile_one_in(profile_one_in)
        .profile_timers([Timer::CpuTime, Timer::WallTime, Timer::AllocatedBytes])
        .start()
}

/// The pages, in the proportions of the day.
fn requests(rng: &mut fastrand::Rng) -> Vec<(String, u32)> {
    let pages: Vec<Endpoint> = Endpoint::ALL
        .into_iter()
        .filter(|endpoint| endpoint.method() == Method::GET)
        .flat_map(|endpoint| std::iter::repeat_n(endpoint, endpoint.share().into()))
        .collect();
    (0..BLOCK)
        .map(|_| {
            let id = rng.u32(1..=USERS).to_string();
            let path = pages[rng.usize(..pages.len())]
                .template()
                .replace("{id}", &id);
            (path, rng.u32(1..=USERS))
        })
        .collect()
}

/// The thread's CPU time of these requests, ns each.
async fn cost(side: &Router, requests: &[(String, u32)]) -> Result<f64> {
    let mut used = 0;
    for (path, user) in requests {
        let request = Request::get(path)
            .header("x-user", *user)
            .body(Body::empty())?;
        let begun = thread_cpu_ns().context("a CPU clock")?;
        let response = side.clone().oneshot(request).await?;
        used += thread_cpu_ns().context("a CPU clock")? - begun;
        anyhow::ensure!(
            response.status().is_success(),
            "{path}: {}",
            response.status()
        );
    }
    Ok(as_f64(used) / as_f64(requests.len() as u64))
}

/// CPU time of the agents' own threads so far, ns.
fn agents_threads() -> u64 {
    let tasks = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    tasks
        .filter_map(|task| {
            let name = fs::read_to_string(task.path().join("comm")).ok()?;
            let used = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let used: u64 = used.split(' ').next()?.parse().ok()?;
            name.starts_with("appweight-agent").then_some(used)
        })
        .sum()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 ns")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("photos.sqlite");
    seed(&database, USERS)?;
    let (never, always) = (agent(0), agent(1));
    let side = |agent: &Agent| -> Result<Router> {
        let app: Arc<App> = App::new(Store::open(&database)?, Variants::default());
        Ok(router(app).layer(agent.layer()))
    };
    let (base, profiled) = (side(&never)?, side(&always)?);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut rng = fastrand::Rng::with_seed(1);
    let (mut bases, mut differences) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let until = Instant::now() + TIME;
        while Instant::now() < until {
            let requests = requests(&mut rng);
            // Whoever comes second finds the rows in caches: each does so half of the time.
            let (without, with) = if rng.bool() {
                let without = cost(&base, &requests).await?;
                (without, cost(&profiled, &requests).await?)
            } else {
                let with = cost(&profiled, &requests).await?;
                (cost(&base, &requests).await?, with)
            };
            bases.push(without);
            differences.push(with - without);
        }
        anyhow::Ok(())
    })?;
    let behind = as_f64(agents_threads()) / as_f64((BLOCK * bases.len()) as u64);
    let n = as_f64(bases.len() as u64);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / n;
    let (base, difference) = (mean(&bases), mean(&differences));
    let variance = differences
        .iter()
        .map(|d| (d - difference).powi(2))
        .sum::<f64>()
        / (n - 1.0);
    let error = 1.96 * (variance / n).sqrt();
    println!("{} requests on each side", BLOCK * bases.len());
    println!("a request that is not profiled: {base:.0} ns of CPU time");
    println!("profiled: {difference:+.0} ns (± {error:.0}) in the request");
    println!("and {behind:.0} ns in the agents' threads, of both sides, start and cells included");
    let part = |ns: f64| ns / 100.0 / base * 100.0;
    println!(
        "one request in 100 profiled: {:.3} % (at most {:.3} %) of the service's CPU time",
        part(difference + behind),
        part(difference + error + behind)
    );
    for agent in [never, always] {
        agent.shutdown(Duration::ZERO);
    }
    Ok(())
}
