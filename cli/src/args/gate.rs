use std::path::PathBuf;

use clap::ValueEnum;

use super::{At, MetricName};
use crate::units;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Columns for a terminal
    Table,
    /// One JSON object
    Json,
    /// A table for a pull request
    Markdown,
    /// Workflow commands of GitHub Actions, which are shown beside the change
    Github,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Gate {
    /// The deploy that is the measure; with files it may be left out if its file has only one
    #[arg(
        long,
        env = "APPWEIGHT_GATE_BASE",
        required_unless_present = "base_file",
        value_name = "DEPLOY"
    )]
    pub(crate) base: Option<String>,
    /// The deploy that is held against it
    #[arg(
        long,
        env = "APPWEIGHT_GATE_HEAD",
        required_unless_present = "head_file",
        value_name = "DEPLOY"
    )]
    pub(crate) head: Option<String>,
    /// Records of the old deploy in a file, instead of a collector: batches as JSON, one after another or
    /// in an array, or one as MessagePack; compressed if the name ends in .gz
    #[arg(
        long,
        env = "APPWEIGHT_GATE_BASE_FILE",
        requires = "head_file",
        value_name = "FILE"
    )]
    pub(crate) base_file: Option<PathBuf>,
    /// Records of the new deploy in a file
    #[arg(
        long,
        env = "APPWEIGHT_GATE_HEAD_FILE",
        requires = "base_file",
        value_name = "FILE"
    )]
    pub(crate) head_file: Option<PathBuf>,
    /// Limits by endpoint, and increases that are accepted until a day; by default appweight.toml, if it is there
    #[arg(long, env = "APPWEIGHT_GATE_BUDGET", value_name = "FILE")]
    pub(crate) budget: Option<PathBuf>,
    /// The increase that is still fine; by default the budget's, else 1%
    #[arg(long, env = "APPWEIGHT_GATE_MAX_INCREASE", value_parser = units::percentage, allow_hyphen_values = true, value_name = "PERCENT")]
    pub(crate) max_increase: Option<f64>,
    /// How sure the interval is; by default the budget's, else 99%
    #[arg(long, env = "APPWEIGHT_GATE_CONFIDENCE", value_parser = units::confidence, value_name = "PERCENT")]
    pub(crate) confidence: Option<f64>,
    /// Hold this endpoint to the limit instead of all together; can be repeated
    #[arg(
        long,
        env = "APPWEIGHT_GATE_ENDPOINT",
        value_delimiter = ',',
        value_name = "ENDPOINT"
    )]
    pub(crate) endpoint: Vec<String>,
    /// Hold every endpoint to the limit
    #[arg(
        long,
        env = "APPWEIGHT_GATE_EVERY_ENDPOINT",
        conflicts_with = "endpoint"
    )]
    pub(crate) every_endpoint: bool,
    /// What to compare; by default instructions where both have them, else CPU time
    #[arg(long, env = "APPWEIGHT_GATE_METRIC", value_name = "METRIC")]
    pub(crate) metric: Option<MetricName>,
    /// The service; may be left out if there is only one
    #[arg(long, env = "APPWEIGHT_SERVICE", value_name = "NAME")]
    pub(crate) service: Option<String>,
    #[command(flatten)]
    pub(crate) at: At,
    /// How to print the answer
    #[arg(long, env = "APPWEIGHT_FORMAT", default_value = "table")]
    pub(crate) format: OutputFormat,
    /// With --format github: where the table for the run's page is added
    #[arg(long, env = "GITHUB_STEP_SUMMARY", value_name = "FILE")]
    pub(crate) summary_file: Option<PathBuf>,
}
