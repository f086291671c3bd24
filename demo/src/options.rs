use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

/// Plays a day of deploys on this machine and judges each of them.
///
/// Exits with 0 if every plant was found in its deploy and endpoint, the function behind each regression was
/// named rightly and nothing else was flagged, with 1 if not, with 2 if the day could not be played.
#[derive(Debug, Parser)]
#[command(name = "cargo demo --")]
pub(crate) struct Options {
    /// End when the day is over instead of leaving the dashboard up until Ctrl-C
    #[arg(long, env = "APPWEIGHT_DEMO_EXIT")]
    pub(crate) exit: bool,
    /// Decides which deploy carries which plant; printed, and chosen at random if not given
    #[arg(long, env = "APPWEIGHT_DEMO_SEED")]
    pub(crate) seed: Option<u64>,
    /// Where collector and dashboard listen; port 0 takes a free one
    #[arg(
        long,
        env = "APPWEIGHT_DEMO_LISTEN",
        default_value = "127.0.0.1:7070",
        value_name = "ADDRESS"
    )]
    pub(crate) listen: SocketAddr,
    /// Where databases and logs of the day are kept; by default a folder that is removed at the end
    #[arg(long, env = "APPWEIGHT_DEMO_FOLDER", value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    /// Requests a second at the day's peak; at night it is four fifths of it
    #[arg(long, env = "APPWEIGHT_DEMO_RATE", default_value_t = 1000.0)]
    pub(crate) rate: f64,
    /// Folder of ready programs `appweight` and `photo-backend`; by default they are built
    #[arg(long, env = "APPWEIGHT_DEMO_PROGRAMS", value_name = "FOLDER")]
    pub(crate) programs: Option<PathBuf>,
}
