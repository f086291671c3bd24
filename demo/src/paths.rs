use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::options::Options;

/// The programs that the day is played with.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) appweight: PathBuf,
    pub(crate) photo_backend: PathBuf,
}

impl Programs {
    /// Builds them beside this program, or takes those of `--programs`.
    pub(crate) fn build(options: &Options) -> anyhow::Result<Self> {
        let folder = match &options.programs {
            Some(folder) => folder.clone(),
            None => build_here()?,
        };
        let program = |name: &str| {
            let path = folder.join(name);
            if path.is_file() {
                Ok(path)
            } else {
                bail!("there is no program {name} in {}", folder.display())
            }
        };
        Ok(Self {
            appweight: program("appweight")?,
            photo_backend: program("photo-backend")?,
        })
    }
}

/// Cargo has built the demo alone. The programs that it starts come from the same profile and are
/// asked for together with it, so that what they share has the same features and is not built twice.
fn build_here() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("cannot tell where this program lies")?;
    let folder = this.parent().unwrap_or(Path::new(".")).to_owned();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args([
            "build",
            "--locked",
            "--package",
            "appweight-cli",
            "--package",
            "photo-backend",
            "--package",
            "appweight-demo",
            "--bins",
            // TLS takes longer to build than anything that the day needs.
            "--no-default-features",
        ])
        .arg("--manifest-path")
        .arg(manifest);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let status = build
        .status()
        .context("cannot run cargo to build the programs")?;
    if !status.success() {
        bail!("the programs could not be built");
    }
    Ok(folder)
}
