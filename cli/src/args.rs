mod gate;
mod serve;

pub(crate) use gate::{Gate, OutputFormat};
pub(crate) use serve::{Chore, Collector, Serve};

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::tls::Shown;
use crate::units;

/// Tells which deploy made a service heavier, by how much, and in which endpoint.
#[derive(Debug, Parser)]
#[command(
    name = "appweight",
    version,
    after_help = "Start with `appweight serve`, then give a service the agent and open http://127.0.0.1:7070."
)]
pub(crate) struct Args {
    /// What to log: error, warn, info, debug, or a filter such as appweight_collector=debug
    #[arg(
        long,
        env = "APPWEIGHT_LOG",
        default_value = "info",
        global = true,
        value_name = "FILTER"
    )]
    pub(crate) log: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run collector and dashboard in one process on one store
    Serve(Box<Serve>),
    /// Run the collector alone: it takes batches, judges deploys and answers queries
    Collector(Box<Collector>),
    /// Run the dashboard alone, for a collector elsewhere
    Dashboard(Dashboard),
    /// Fail if one deploy is heavier than another
    ///
    /// The deploys are those of a collector, or two files of records (--base-file, --head-file). Where the
    /// collector's detector judges the roll-out, what it has called is held to the limits; else both are compared.
    /// Exits 1 when the interval of an increase lies above its limit, 0 when all lie below, and
    /// else 2: it cannot be told (with how many more requests would tell), a deploy is unknown,
    /// instructions were counted in different ways, a file cannot be read, or the collector does not answer.
    Gate(Gate),
    /// Tell the collector that a roll-out starts or ends
    Deploy(Deploy),
    /// Show which deploys made a service heavier, and say what is done about it
    Alerts(Box<crate::alerts::AlertsArgs>),
    /// Show what became heavier slowly: changes of level and trends over days and weeks
    ///
    /// Asks a collector for the weight of each day's peak minute and the daily cost of a request of each endpoint. Of
    /// all that is looked at, at most one in twenty that is told is false on average; the rest is there with --format json.
    /// A trend takes four weeks of days. Exits 0 whatever is found, 2 if the collector does not answer.
    Drift(crate::drift::DriftArgs),
    /// Show what each value of a feature flag costs, against the other values at the same time
    ///
    /// Asks a collector for the flags that requests told (appweight_agent::flag). Each value is held against all other
    /// values of its flag, minute by minute inside an endpoint, a cluster and a deploy, so that neither the time of day nor a
    /// roll-out counts. A difference is a cost only where the flag is given at random: where its share differs between endpoints or
    /// clusters, or nothing tells, it says association. The collector is told how flags are given with --flag-given.
    /// Exits 0 whatever is found, 2 if the collector does not answer or knows no such flag.
    Flags(crate::flags::FlagsArgs),
    /// Show which function costs what, and what changed between two deploys or profiles
    Profile(Box<crate::profile::ProfileArgs>),
    /// Find where a series of days or weeks changed for good
    ///
    /// Reads {"series": [1.5, null, 2, …]} on standard input, null being a gap, and prints
    /// {"changepoints": [index, …], "details": […]}: for each change the first value after it, from 0,
    /// the mean before and after, and how sure it is. docs/judge.md of the project has an example. Exits 2 if the
    /// input is no series.
    Changepoints,
    /// Tell what the agent can count on this machine, at what cost, and what to change to get more
    ///
    /// Exits 0 if every request can be counted here, 1 if only one in K of busy endpoints can, since
    /// reading CPU time costs a system call, and 2 if it cannot be told. With --require-instructions
    /// it exits 1 also where instructions are not counted.
    Doctor(crate::doctor::DoctorArgs),
    /// Judge cells of a file: a verdict per deploy and endpoint, as lines of JSON
    ///
    /// The file has a line of JSON for each deploy, then one for each minute, deploy, endpoint and host with its requests and what they
    /// cost. docs/judge.md of the project tells every field of the lines that are read and written.
    Judge(crate::judge::Judge),
    /// Write cells of simulated days, of which it is known what is true
    Simulate(crate::simulate::Simulate),
    /// Score the judge on simulated days
    Evaluate(crate::evaluate::Evaluate),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// A collector elsewhere.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct At {
    /// The collector
    #[arg(
        long,
        env = "APPWEIGHT_COLLECTOR",
        default_value = "http://127.0.0.1:7070",
        value_name = "URL"
    )]
    pub(crate) collector: String,
    /// What the collector asks for, if it does: a token for reading, or of `deploy` one for writing
    #[arg(
        long,
        env = "APPWEIGHT_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(crate) token: Option<String>,
    /// Certificates (PEM) that may vouch for an https:// collector; by default the system's
    #[arg(long, env = "APPWEIGHT_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

impl At {
    pub(crate) fn client(&self) -> anyhow::Result<crate::Collector> {
        let collector = crate::Collector::trusting(&self.collector, self.ca_file.as_deref())?;
        Ok(collector.with_token(self.token.as_deref()))
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Dashboard {
    /// Where to listen; port 0 takes a free one and says which
    #[arg(
        long,
        env = "APPWEIGHT_LISTEN",
        default_value = "127.0.0.1:7071",
        value_name = "ADDRESS"
    )]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) shown: Shown,
    #[command(flatten)]
    pub(crate) at: At,
    /// Listen beyond this machine without a token: everybody who reaches the port sees the pages
    #[arg(long, env = "APPWEIGHT_INSECURE_NO_TOKENS")]
    pub(crate) insecure_no_tokens: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MetricName {
    /// CPU instructions
    Instructions,
    /// CPU time
    Cpu,
}

impl MetricName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Cpu => "cpu",
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Deploy {
    /// What is rolled out: usually the commit
    pub(crate) id: String,
    /// The service
    #[arg(long, env = "APPWEIGHT_SERVICE", value_name = "NAME")]
    pub(crate) service: String,
    /// The last instance has been replaced: the roll-out is over
    #[arg(long)]
    pub(crate) ended: bool,
    /// The deploy that it replaces; by default the one before
    #[arg(long, value_name = "DEPLOY")]
    pub(crate) replaced: Option<String>,
    /// Who made the change
    #[arg(long, env = "APPWEIGHT_DEPLOY_AUTHOR")]
    pub(crate) author: Option<String>,
    /// The change in a line
    #[arg(long, env = "APPWEIGHT_DEPLOY_TITLE")]
    pub(crate) title: Option<String>,
    /// Where to read more
    #[arg(long, env = "APPWEIGHT_DEPLOY_LINK", value_name = "URL")]
    pub(crate) link: Option<String>,
    #[command(flatten)]
    pub(crate) at: At,
}

pub(crate) fn endpoint_change(text: &str) -> Result<(String, f64), String> {
    let (endpoint, percent) = text.rsplit_once('=').ok_or("write it as /feed=0.5%")?;
    Ok((endpoint.to_owned(), units::percentage(percent)?))
}

pub(crate) fn flag_given(text: &str) -> Result<(String, String), String> {
    let (flag, how) = text.rsplit_once('=').ok_or("write it as ranker=random")?;
    if flag.is_empty() || how.is_empty() {
        return Err("write it as ranker=random".to_owned());
    }
    Ok((flag.to_owned(), how.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn options_are_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn an_endpoint_may_hold_an_equals_sign() {
        assert_eq!(endpoint_change("/a=b=2%"), Ok(("/a=b".to_owned(), 0.02)));
        assert!(endpoint_change("/a").is_err());
        assert_eq!(
            flag_given("a=b=random"),
            Ok(("a=b".to_owned(), "random".to_owned()))
        );
        for wrong in ["ranker", "ranker=", "=random"] {
            assert!(flag_given(wrong).is_err(), "{wrong}");
        }
    }
}
