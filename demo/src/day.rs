use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use appweight::api::DeployVerdict;
use appweight_wire::Deploy;
use photo_backend::Variants;
use photo_backend::traffic::{Targets, Traffic, TrafficOptions};
use tokio::process::Command;

use crate::children::Server;
use crate::judge::{Api, SERVICE};
use crate::options::Options;
use crate::paths::Programs;
use crate::plan::{plan, plants};
use crate::print;
use crate::report::{Judged, report};
use crate::service::Service;
use crate::truth;

/// Users in the photo service's database.
const SEEDED_USERS: u32 = 2_000;
/// How long the first build serves before the first roll-out: until its processes are warm.
const MORNING: Duration = Duration::from_secs(10);
/// How long verdicts may take after the last roll-out.
const VERDICT_LIMIT: Duration = Duration::from_secs(60);

/// Plays the day; whether every deploy was judged rightly.
pub(crate) async fn run(options: &Options, programs: &Programs) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(0..1_000_000));
    // Removed when it is dropped.
    let temporary = tempfile::Builder::new()
        .prefix("appweight-demo-")
        .tempdir()
        .context("cannot make a folder")?;
    let folder = options
        .folder
        .clone()
        .unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    if folder.join("appweight.db").exists() {
        bail!(
            "{} holds an earlier day: remove it or choose another --folder",
            folder.display()
        );
    }

    let collector = start_collector(options, programs, &folder).await?;
    let api = Api::new(&collector.url);
    print::line(&format!(
        "seed {seed} (repeat this day with: cargo demo -- --seed {seed})"
    ));
    print::line(&format!("dashboard: {}", collector.url));
    seed_database(programs, &folder.join("photos.db")).await?;

    let (first, deploys) = plan(seed);
    let targets = Targets::new();
    let mut service = Service::new(
        programs,
        folder.clone(),
        collector.url.clone(),
        targets.clone(),
    );
    let traffic = Traffic::start(
        TrafficOptions {
            seed,
            users: SEEDED_USERS * 4 / 5,
            seeded_users: SEEDED_USERS,
            rate: options.rate * 4.0 / 5.0,
            ..TrafficOptions::default()
        },
        targets,
    )
    .context("cannot start the traffic")?;
    api.post(rolled(&first, "the day's first build", None))
        .await?;
    service.start(&first, Variants::default()).await?;
    tokio::time::sleep(MORNING).await;

    let mut verdicts = Verdicts::new(api.clone());
    let mut previous = first;
    let mut starts = Vec::with_capacity(deploys.len());
    for (number, deploy) in deploys.iter().enumerate() {
        let hour = number as f64 / deploys.len() as f64;
        // Few at dawn, most in the evening.
        let light = 0.5 - 0.5 * (std::f64::consts::TAU * (hour - 0.1)).cos();
        let busy = (4.0 + light) / 5.0;
        traffic.set_rate(options.rate * busy);
        traffic.set_users((f64::from(SEEDED_USERS) * busy) as u32);

        let started = api
            .post(rolled(&deploy.id, deploy.title, Some(&previous)))
            .await?;
        print::line(&format!(
            "{:>2}/{} {} rolls out: {}",
            number + 1,
            deploys.len(),
            deploy.id,
            deploy.title
        ));
        let place = format!("deploy {} of {}, {}", number + 1, deploys.len(), deploy.id);
        watch_while(
            &mut verdicts,
            &place,
            begun,
            service.roll(&deploy.id, deploy.variants),
        )
        .await?;
        api.post(Deploy {
            ended_us: Some(now_us()),
            ..started.clone()
        })
        .await?;
        starts.push(started.started_us);
        previous.clone_from(&deploy.id);
    }
    let waiting = wait_for_verdicts(api.clone(), deploys.len() + 1);
    watch_while(
        &mut verdicts,
        "waiting for the last verdict",
        begun,
        waiting,
    )
    .await?;
    verdicts.announce().await?;

    let counts = traffic.stop().await;
    service.stop().await?;
    let truth_database = folder.join("truth.db");
    seed_database(programs, &truth_database).await?;
    let truths = truth::measure(programs, &truth_database, options.rate, &plants(&deploys)).await?;
    let found = api.judged().await?;
    let mut day = Vec::with_capacity(deploys.len());
    for (planned, start) in deploys.iter().zip(&starts) {
        let summary = found
            .iter()
            .find(|summary| summary.deploy.started_us == *start);
        day.push(Judged::of(&api, planned, summary).await);
    }
    let right = report(&day, &truths);
    print::line(&format!(
        "{} requests served, {} failed, {} not sent for lack of room; the day took {} s",
        counts.ok,
        counts.errors,
        counts.shed,
        begun.elapsed().as_secs()
    ));
    if let Some(error) = counts.last_error {
        print::line(&format!("the last failed request: {error}"));
    }
    if options.exit {
        collector.stop().await?;
    } else {
        print::line(&format!(
            "the dashboard stays up at {} until Ctrl-C",
            collector.url
        ));
        std::future::pending::<()>().await;
    }
    Ok(right)
}

async fn start_collector(
    options: &Options,
    programs: &Programs,
    folder: &Path,
) -> anyhow::Result<Server> {
    let database = folder.join("appweight.db").display().to_string();
    let listen = options.listen.to_string();
    // Everything that judges is left at its default; only the time scale is the demo's.
    let args = [
        "serve",
        "--listen",
        &listen,
        "--database",
        &database,
        "--weight-window",
        "5s",
        "--settle",
        "4s",
    ]
    .map(str::to_owned);
    Server::start(
        "appweight serve",
        &programs.appweight,
        &args,
        &folder.join("appweight.log"),
    )
    .await
}

async fn seed_database(programs: &Programs, database: &Path) -> anyhow::Result<()> {
    let output = Command::new(&programs.photo_backend)
        .args(["seed", "--users", &SEEDED_USERS.to_string(), "--database"])
        .arg(database)
        .output()
        .await
        .context("cannot start photo-backend seed")?;
    if !output.status.success() {
        bail!(
            "photo-backend seed failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

fn rolled(id: &str, title: &str, replaced: Option<&str>) -> Deploy {
    Deploy {
        service: SERVICE.to_owned(),
        id: id.to_owned(),
        started_us: now_us(),
        replaced: replaced.map(str::to_owned),
        title: Some(title.to_owned()),
        ..Deploy::default()
    }
}

fn now_us() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
        })
}

/// Runs a part of the day while the progress line moves and verdicts are announced.
async fn watch_while<T>(
    verdicts: &mut Verdicts,
    place: &str,
    begun: Instant,
    part: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let mut part = std::pin::pin!(part);
    loop {
        tokio::select! {
            done = &mut part => return done,
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                verdicts.announce().await?;
                print::progress(&format!("{place}, {} s into the day", begun.elapsed().as_secs()));
            }
        }
    }
}

async fn wait_for_verdicts(api: Api, wanted: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    while api.judged().await?.len() < wanted {
        if begun.elapsed() > VERDICT_LIMIT {
            bail!(
                "not every deploy was judged within {} s of the last roll-out",
                VERDICT_LIMIT.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// Announces each verdict once, as it falls.
struct Verdicts {
    api: Api,
    /// Told apart by when they started: a roll-back has the id of an earlier deploy.
    announced: BTreeSet<u64>,
}

impl Verdicts {
    fn new(api: Api) -> Self {
        Self {
            api,
            announced: BTreeSet::new(),
        }
    }

    async fn announce(&mut self) -> anyhow::Result<()> {
        for summary in self.api.judged().await? {
            let is_new = self.announced.insert(summary.deploy.started_us);
            if is_new && summary.verdict != DeployVerdict::First {
                print::line(&format!(
                    "      {} {}: {}",
                    mark(summary.verdict),
                    summary.deploy.id,
                    summary.headline
                ));
            }
        }
        Ok(())
    }
}

fn mark(verdict: DeployVerdict) -> &'static str {
    match verdict {
        DeployVerdict::Regressed => "▲ heavier",
        DeployVerdict::Improved => "▼ lighter",
        DeployVerdict::NoChange => "● no change",
        DeployVerdict::Withheld => "! withheld",
        DeployVerdict::Undecided => "? undecided",
        DeployVerdict::Withdrawn => "● went away",
        DeployVerdict::NotEnoughData => "? not enough data",
        DeployVerdict::Pending | DeployVerdict::First => "…",
    }
}
