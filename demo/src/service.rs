use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use photo_backend::Variants;
use photo_backend::traffic::Targets;

use crate::children::Server;
use crate::paths::Programs;

/// How long an old and a new instance of the same slot serve together before the old one leaves.
const OVERLAP: Duration = Duration::from_secs(10);
/// How long the new code serves alone before the roll-out counts as ended.
const ALONE: Duration = Duration::from_secs(1);
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
    pub(crate) async fn roll(&mut self, deploy: &str, variants: Variants) -> anyhow::Result<()> {
        for slot in 0..SLOTS {
            let new = self.instance(slot, deploy, variants).await?;
            tokio::time::sleep(OVERLAP).await;
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
            // A deploy serves some thousand requests: enough profiles of each endpoint.
            "--profile-one-in",
            "20",
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
