use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use crate::args::At;
use crate::units;

#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  \
        appweight profile --pprof cpu.pb.gz\n  \
        appweight profile --pprof cpu.pb.gz --format svg > cpu.svg\n  \
        appweight profile --deploy 8f2c1a9 --endpoint '/feed/{user}' --timer cpu\n  \
        appweight profile --deploy 8f2c1a9 --endpoint '/feed/{user}' --callers store::query\n  \
        appweight profile diff 5f9cd00 8f2c1a9 --endpoint '/feed/{user}'\n  \
        appweight profile diff old.pb.gz new.pb.gz --requests 12000 11500\n  \
        appweight profile diff old/ new/ --max-increase 2%    (folders of five files or more give intervals)"
)]
pub(crate) struct ProfileArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ProfileCommand>,
    /// A profile in pprof's format, of any profiler, or a folder of them; several are added up
    #[arg(long, value_name = "FILE", required_unless_present = "deploy", num_args = 1.., conflicts_with_all = ["endpoint", "timer", "taken"])]
    pub(crate) pprof: Vec<PathBuf>,
    /// Instead of files: what the collector keeps of that deploy
    #[arg(long, value_name = "DEPLOY", conflicts_with_all = ["pprof", "requests", "value"])]
    pub(crate) deploy: Option<String>,
    /// Requests behind it, so that costs are told per request; else per second, if the files say how long they took
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,
    /// Who calls that function, and what it costs on behalf of each: a function's whole name or its end, as load::query
    #[arg(long, value_name = "FUNCTION", conflicts_with = "callees")]
    pub(crate) callers: Option<String>,
    /// What that function calls, and what each of them costs on its behalf
    #[arg(long, value_name = "FUNCTION")]
    pub(crate) callees: Option<String>,
    #[command(flatten)]
    pub(crate) kept: Kept,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

/// Which side of a function is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Around {
    Callers,
    Callees,
}

impl ProfileArgs {
    /// The function whose callers or callees are asked for.
    pub(crate) fn around(&self) -> Option<(Around, &str)> {
        let callers = self.callers.as_deref().map(|name| (Around::Callers, name));
        let callees = self.callees.as_deref().map(|name| (Around::Callees, name));
        callers.or(callees)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Compare two profiles function by function
    ///
    /// With --endpoint two deploys are compared by what the collector keeps of them, else two files.
    ///
    /// With --max-increase it exits 1 when the interval of the increase lies above the limit, 0 when it lies
    /// below, else 2: it cannot be told, a file cannot be read, or the collector has no such profile.
    Diff(DiffArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// The old profile: a deploy's id, or a pprof file or a folder of them
    #[arg(value_name = "OLD")]
    pub(crate) before: PathBuf,
    /// The new one
    #[arg(value_name = "NEW")]
    pub(crate) after: PathBuf,
    /// Requests behind the old and the new one; without them costs are compared per second, if the files say how long
    /// they took, else per file
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with = "endpoint", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Vec<u64>,
    /// How sure it is that all functions' intervals hold at once
    #[arg(long, default_value = "99%", value_parser = units::confidence, value_name = "PERCENT")]
    pub(crate) confidence: f64,
    /// Fail if the total surely rose by more than this
    #[arg(long, value_parser = units::percentage, allow_hyphen_values = true, value_name = "PERCENT")]
    pub(crate) max_increase: Option<f64>,
    #[command(flatten)]
    pub(crate) kept: Kept,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

/// Which of the profiles that a collector keeps.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Profiles of a collector")]
pub(crate) struct Kept {
    /// The endpoint, as '/feed/{user}', or the task; '' for samples of whole processes
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) endpoint: Option<String>,
    /// The timer: instructions, cpu, user_cpu (sampled), wall, allocated, live (sampled: what is still there of it), …; by default the first of these that there is
    #[arg(long, value_name = "TIMER")]
    pub(crate) timer: Option<String>,
    /// How it was taken; by default by scopes, if there are any that tell of functions
    #[arg(long, value_name = "HOW")]
    pub(crate) taken: Option<TakenName>,
    /// The service; may be left out if there is only one
    #[arg(long, env = "APPWEIGHT_SERVICE", value_name = "NAME")]
    pub(crate) service: Option<String>,
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TakenName {
    /// Every call of instrumented functions
    Scopes,
    /// A stack every so often
    Sampled,
}

impl TakenName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Scopes => "scopes",
            Self::Sampled => "sampled",
        }
    }
}

/// What both show, and how.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Shown {
    /// How to print it
    #[arg(long, env = "APPWEIGHT_PROFILE_FORMAT", default_value = "table")]
    pub(crate) format: ProfileFormat,
    /// Which of a file's values: cpu, alloc_space, …; by default the file's own choice
    #[arg(long, value_name = "NAME", conflicts_with = "endpoint")]
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
