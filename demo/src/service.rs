use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use appweight_wire::Deploy;
use photo_backend::Variants;
use photo_backend::traffic::Targets;

use crate::children::Server;
use crate::judge::Api;
use crate::paths::Programs;

/// How long an old and a new instance of the same slot serve together before the old one leaves.
/// The last old one stays on for some more time where the machine was too busy with other things
/// to measure anything: a roll-out is over when there is enough to judge it by.
const OVERLAP: Duration = Duration::from_secs(10);
const LONGEST_OVERLAP: Duration = Duration::from_secs(24);
/// The interval of every main endpoint reaches so far at most, to either side.
const PRECISE: f64 = 0.09;
/// How long the new code serves alone before the roll-out counts as ended.
const ALONE: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Instances of the service.
const SLOTS: usize = 2;

/// The photo service: two instances behind a client that picks one of them for each request.
pub(crate) struct Service<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) folder: PathBuf,
    pub(crate) collector: String,
    pub(crate) targets: Targets,
    instances: Vec<Server>,
    started: u32,
}

impl<'a> Service<'a> {
    pub(crate) fn new(
        programs: &'a Programs,
        folder: PathBuf,
        collector: String,
        targets: Targets,
    ) -> Self {
        Self {
            programs,
            folder,
            collector,
            targets,
            instances: Vec::new(),
            started: 0,
        }
    }

    /// Starts both instances at once.
    pub(crate) async fn start(&mut self, deploy: &str, variants: Variants) -> anyhow::Result<()> {
        for slot in 0..SLOTS {
            let instance = self.instance(slot, deploy, variants).await?;
            self.instances.push(instance);
        }
        Ok(())
    }

    /// Replaces the instances one after the other.
    pub(crate) async fn roll(
        &mut self,
        api: &Api,
        deploy: &Deploy,
        variants: Variants,
    ) -> anyhow::Result<()> {
        for slot in 0..SLOTS {
            let new = self.instance(slot, &deploy.id, variants).await?;
            let begun = Instant::now();
            tokio::time::sleep(OVERLAP).await;
            while slot + 1 == SLOTS && begun.elapsed() < LONGEST_OVERLAP {
                if api
                    .width(deploy)
                    .await?
                    .is_some_and(|width| width <= PRECISE)
                {
                    break;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            let old = std::mem::replace(&mut self.instances[slot], new);
            self.targets.remove(&old.url).await;
            old.stop().await?;
        }
        tokio::time::sleep(ALONE).await;
        Ok(())
    }

    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        for instance in self.instances.drain(..) {
            self.targets.remove(&instance.url).await;
            instance.stop().await?;
        }
        Ok(())
    }

    async fn instance(
        &mut self,
        slot: usize,
        deploy: &str,
        variants: Variants,
    ) -> anyhow::Result<Server> {
        self.started += 1;
        let host = format!("photo-{}", slot + 1);
        let database = self.folder.join("photos.db").display().to_string();
        let mut args: Vec<String> = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--database",
            &database,
            "--deploy",
            deploy,
            "--host",
            &host,
            "--collector",
            &self.collector,
            "--cell-width",
            "1s",
            "--warm-up",
            "3s",
        ]
        .map(str::to_owned)
        .to_vec();
        for variant in variants.iter() {
            args.push("--variant".to_owned());
            args.push(variant.to_string());
        }
        let log = self
            .folder
            .join(format!("photo-{:02}-{host}.log", self.started));
        let server = Server::start(&host, &self.programs.photo_backend, &args, &log).await?;
        self.targets
            .add(&server.url)
            .context("the photo service listens nowhere")?;
        Ok(server)
    }
}
