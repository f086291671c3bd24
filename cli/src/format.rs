use std::io::Write;

use clap::ValueEnum;
use serde::Serialize;

/// How a command prints what a collector answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people
    Table,
    /// The API's answer
    Json,
}

impl Format {
    /// Prints an answer as it came, or as the lines that are made of it.
    pub(crate) fn print<T: Serialize>(
        self,
        out: &mut dyn Write,
        answer: &T,
        lines: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        match self {
            Self::Json => writeln!(out, "{}", serde_json::to_string_pretty(answer)?)?,
            Self::Table => write!(out, "{}", lines(answer))?,
        }
        Ok(())
    }
}
