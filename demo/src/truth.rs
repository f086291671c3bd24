use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use photo_backend::truth::Truth;
use photo_backend::{Variant, Variants};
use tokio::process::Command;

use crate::paths::Programs;
use crate::print;

/// Measures what each plant truly costs: the build with it and the build without it side by side,
/// at the day's rate of requests, without the agent.
pub(crate) async fn measure(
    programs: &Programs,
    database: &Path,
    rate: f64,
    plants: &BTreeMap<Variant, Variants>,
) -> anyhow::Result<BTreeMap<Variant, Truth>> {
    let mut truths = BTreeMap::new();
    for (number, (variant, also)) in plants.iter().enumerate() {
        print::progress(&format!(
            "measuring what was planted, {} of {}: {variant}",
            number + 1,
            plants.len()
        ));
        let mut command = Command::new(&programs.photo_backend);
        command
            .args([
                "truth",
                "--format",
                "json",
                "--duration",
                "8s",
                "--rate",
                &rate.to_string(),
                "--variant",
                variant.name(),
            ])
            .arg("--database")
            .arg(database)
            .kill_on_drop(true);
        for other in also.iter() {
            command.args(["--also", other.name()]);
        }
        let output = command
            .output()
            .await
            .context("cannot start photo-backend truth")?;
        if !output.status.success() {
            bail!(
                "photo-backend truth failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let truth = serde_json::from_slice(&output.stdout)
            .context("what photo-backend truth prints is not understood")?;
        truths.insert(*variant, truth);
    }
    Ok(truths)
}
