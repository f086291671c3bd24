use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use crate::units;

#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  \
        appweight profile --pprof cpu.pb.gz\n  \
        appweight profile --pprof cpu.pb.gz --format svg > cpu.svg\n  \
        appweight profile diff old.pb.gz new.pb.gz --requests 12000 11500\n  \
        appweight profile diff old/ new/ --max-increase 2%    (folders of five files or more give intervals)"
)]
pub(crate) struct ProfileArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ProfileCommand>,
    /// A profile in pprof's format, of any profiler, or a folder of them; several are added up
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) pprof: Vec<PathBuf>,
    /// Requests behind it, so that costs are told per request; else per second, if the files say how long they took
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Compare two profiles function by function
    ///
    /// With --max-increase it exits 1 when the interval of the increase lies above the limit, 0 when it lies
    /// below, else 2: it cannot be told, or a file cannot be read.
    Diff(DiffArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// The old profile: a pprof file, or a folder of them
    #[arg(value_name = "OLD")]
    pub(crate) before: PathBuf,
    /// The new one
    #[arg(value_name = "NEW")]
    pub(crate) after: PathBuf,
    /// Requests behind the old and the new one; without them costs are compared per second, if the files say how long
    /// they took, else per file
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Vec<u64>,
    /// How sure it is that all functions' intervals hold at once
    #[arg(long, default_value = "99%", value_parser = units::confidence, value_name = "PERCENT")]
    pub(crate) confidence: f64,
    /// Fail if the total surely rose by more than this
    #[arg(long, value_parser = units::percentage, allow_hyphen_values = true, value_name = "PERCENT")]
    pub(crate) max_increase: Option<f64>,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

/// What both show, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Shown {
    /// How to print it
    #[arg(long, env = "APPWEIGHT_PROFILE_FORMAT", default_value = "table")]
    pub(crate) format: ProfileFormat,
    /// Which of a file's values: cpu, alloc_space, …; by default the file's own choice
    #[arg(long, value_name = "NAME")]
    pub(crate) value: Option<String>,
    /// Functions to look through, as retry or 'tokio::*', beside the runtime's own; can be repeated
    #[arg(long, value_name = "PATTERN")]
    pub(crate) look_through: Vec<String>,
    /// Look through nothing, not even the runtime's own frames
    #[arg(long, conflicts_with = "look_through")]
    pub(crate) raw: bool,
    /// Rows of a table
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) top: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileFormat {
    /// Columns for a terminal
    Table,
    /// One JSON object
    Json,
    /// Folded stacks, one line for each chain of calls
    Folded,
    /// A pprof file, for `go tool pprof`, Speedscope and others
    Pprof,
    /// A flame graph
    Svg,
}
