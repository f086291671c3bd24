use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use photo_backend::Variant;

use crate::parse_duration;

/// AppWeight's reference service: a small photo application with the agent embedded.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer requests until SIGTERM
    Serve(Serve),
    /// Make a database
    Seed(Seed),
    /// Send traffic to running instances
    Drive(Drive),
    /// Measure what a variant truly costs, without the agent
    Truth(TruthCommand),
    /// Measure what the agent costs the service; `cargo xtask overhead` builds what it needs
    Overhead(OverheadCommand),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes a free one
    #[arg(long, env = "PHOTO_LISTEN", default_value = "127.0.0.1:8000")]
    pub(crate) listen: SocketAddr,
    /// The database made by `photo-backend seed`; several instances may share it
    #[arg(long, env = "PHOTO_DATABASE", default_value = "photos.sqlite")]
    pub(crate) database: PathBuf,
    /// What is deployed here, usually the commit
    #[arg(long, env = "PHOTO_DEPLOY", default_value = "development")]
    pub(crate) deploy: String,
    /// The instance's name
    #[arg(long, env = "PHOTO_HOST", default_value = "photos-1")]
    pub(crate) host: String,
    /// The collector's address, as http://127.0.0.1:7070; without one nothing is measured
    #[arg(long, env = "PHOTO_COLLECTOR")]
    pub(crate) collector: Option<String>,
    /// How long a cell lasts
    #[arg(long, env = "PHOTO_CELL_WIDTH", default_value = "60s", value_parser = parse_duration)]
    pub(crate) cell_width: Duration,
    /// How long the process counts as warming up
    #[arg(long, env = "PHOTO_WARM_UP", default_value = "60s", value_parser = parse_duration)]
    pub(crate) warm_up: Duration,
    /// One request in this many is recorded with all its facts
    #[arg(long, env = "PHOTO_RECORD_ONE_IN", default_value_t = 100)]
    pub(crate) record_one_in: u64,
    /// One request in this many is profiled by function; 0: none
    #[arg(long, env = "PHOTO_PROFILE_ONE_IN", default_value_t = 1000)]
    pub(crate) profile_one_in: u64,
    /// In what this build differs from the good one; can be given several times
    #[arg(long, env = "PHOTO_VARIANT", value_delimiter = ',')]
    pub(crate) variant: Vec<Variant>,
    /// Without a collector: a layer that does nothing where the agent's would be
    #[arg(long)]
    pub(crate) idle_layer: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Seed {
    /// The file to make
    #[arg(long, env = "PHOTO_DATABASE", default_value = "photos.sqlite")]
    pub(crate) database: PathBuf,
    /// How many users it holds
    #[arg(long, env = "PHOTO_USERS", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(50..=1_000_000))]
    pub(crate) users: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Drive {
    /// An instance's address, as http://127.0.0.1:8000; can be given several times
    #[arg(long, env = "PHOTO_TARGET", value_delimiter = ',', required = true)]
    pub(crate) target: Vec<String>,
    /// Requests per second
    #[arg(long, env = "PHOTO_RATE", default_value_t = 600.0)]
    pub(crate) rate: f64,
    /// How long to send
    #[arg(long, env = "PHOTO_DURATION", default_value = "30s", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// How many users are active; the database must hold as many
    #[arg(long, env = "PHOTO_USERS", default_value_t = 2000)]
    pub(crate) users: u32,
    /// Arrivals are shed while so many requests wait for their answer
    #[arg(long, env = "PHOTO_IN_FLIGHT", default_value_t = 64)]
    pub(crate) in_flight: usize,
    /// Decides everything that is random
    #[arg(long, env = "PHOTO_SEED", default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct TruthCommand {
    /// The variant in question
    #[arg(long, env = "PHOTO_VARIANT")]
    pub(crate) variant: Variant,
    /// A variant that both sides run with; can be given several times
    #[arg(long, env = "PHOTO_ALSO", value_delimiter = ',')]
    pub(crate) also: Vec<Variant>,
    /// The database made by `photo-backend seed`; the traffic adds to it
    #[arg(long, env = "PHOTO_DATABASE", default_value = "photos.sqlite")]
    pub(crate) database: PathBuf,
    /// How long to measure
    #[arg(long, env = "PHOTO_DURATION", default_value = "6s", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// Requests per second, both sides together
    #[arg(long, env = "PHOTO_RATE", default_value_t = 1000.0)]
    pub(crate) rate: f64,
    /// Decides who asks for what, and whom
    #[arg(long, env = "PHOTO_SEED", default_value_t = 1)]
    pub(crate) seed: u64,
    /// How to print it
    #[arg(long, env = "PHOTO_FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct OverheadCommand {
    /// The program `appweight`; the one beside this program if none is named
    #[arg(long)]
    pub(crate) appweight: Option<PathBuf>,
    /// Which endpoints are asked: all in the day's proportions, the lightest alone, or first one and
    /// then the other
    #[arg(long, default_value = "both")]
    pub(crate) workload: AskedFor,
    /// How often all processes are started anew: the interval is that between starts
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub(crate) starts: u32,
    /// Pairs of blocks in each start
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) pairs: u32,
    /// How long a block takes, about
    #[arg(long, default_value = "250ms", value_parser = parse_duration)]
    pub(crate) block: Duration,
    /// Connections that ask, each waiting for its answer
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) connections: u32,
    /// How many users the database holds
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(50..=1_000_000))]
    pub(crate) users: u32,
    /// One request in this many is recorded with all its facts
    #[arg(long, default_value_t = 100)]
    pub(crate) record_one_in: u64,
    /// Decides who asks for what, and in which order
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Beside it a layer that does nothing: what any layer costs, instead of what the method finds where there is nothing
    #[arg(long)]
    pub(crate) idle_layer: bool,
    /// How to print it
    #[arg(long, default_value = "text")]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AskedFor {
    /// All endpoints, in the day's proportions.
    Mix,
    /// The endpoint that costs least.
    Lightest,
    /// First one, then the other.
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}
