//! Profiles from files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use appweight::profile::pprof::{self, Imported};
use appweight::profile::{Profile, Timer};

/// What costs are told per.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Per {
    /// The number of requests was given.
    Request,
    /// The files say how long they took.
    Second,
    /// Nothing is known.
    File,
    /// The collector counted the requests that were profiled.
    Profiled,
    /// No request is behind it: all that was sampled under a deploy.
    Deploy,
}

impl Per {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Request | Self::Profiled => "request",
            Self::Second => "second",
            Self::File => "file",
            Self::Deploy => "deploy",
        }
    }

    /// How many of what is counted make one of these: seconds are counted in thousandths.
    pub(crate) fn size(self) -> f64 {
        match self {
            Self::Second => 1e3,
            Self::Request | Self::File | Self::Profiled | Self::Deploy => 1.0,
        }
    }

    /// What gives intervals.
    pub(crate) fn enough(self) -> &'static str {
        match self {
            Self::Request | Self::Second | Self::File => "five files or more on each side",
            Self::Profiled | Self::Deploy => {
                "five spans of time or more in which each deploy was profiled"
            }
        }
    }
}

/// One or more files, each of them a replicate.
#[derive(Debug)]
pub(crate) struct Side {
    files: Vec<Imported>,
}

impl Side {
    /// Reads files, and the files of folders.
    pub(crate) fn read(paths: &[PathBuf], value: Option<&str>) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        for path in expand(paths)? {
            let bytes =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let replicate = files.len();
            let file = pprof::read(&bytes, value, replicate)
                .with_context(|| format!("{} cannot be used", path.display()))?;
            files.push(file);
        }
        Ok(Self { files })
    }

    /// All files added up, with what they are counted by.
    pub(crate) fn counted(&self, requests: Option<u64>) -> (Profile, Per) {
        let per = match requests {
            Some(_) => Per::Request,
            None if self.tells_durations() => Per::Second,
            None => Per::File,
        };
        (self.count(per, requests.unwrap_or(0)), per)
    }

    fn tells_durations(&self) -> bool {
        self.files.iter().all(|file| file.duration_ns > 0)
    }

    fn count(&self, per: Per, requests: u64) -> Profile {
        let count = self.files.len() as u64;
        let mut merged: Option<Profile> = None;
        for (number, file) in (0..).zip(&self.files) {
            let mut profile = file.profile.clone();
            let behind = match per {
                // Spread evenly: which file saw which requests is not known.
                Per::Request => requests / count + u64::from(number < requests % count),
                Per::Second => (file.duration_ns / 1_000_000).max(1),
                Per::File | Per::Profiled | Per::Deploy => 1,
            };
            profile.count(behind, 0);
            match &mut merged {
                Some(merged) => merged.merge(&profile),
                None => merged = Some(profile),
            }
        }
        merged.unwrap_or_else(|| Profile::new(Timer::default()))
    }
}

/// Both sides by the same count.
pub(crate) fn counted_alike(before: &Side, after: &Side, requests: &[u64]) -> ([Profile; 2], Per) {
    let (per, numbers) = match *requests {
        [old, new] => (Per::Request, [old, new]),
        _ if before.tells_durations() && after.tells_durations() => (Per::Second, [0, 0]),
        _ => (Per::File, [0, 0]),
    };
    (
        [before.count(per, numbers[0]), after.count(per, numbers[1])],
        per,
    )
}

fn expand(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let inside = inside(path)?;
            if inside.is_empty() {
                bail!("the folder {} has no files", path.display());
            }
            files.extend(inside);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn inside(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let reading = || format!("cannot read the folder {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
