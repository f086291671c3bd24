//! `appweight doctor`: what the agent can count on this machine, how, at what cost, and what to change to get more.

mod table;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;

use appweight_agent::{Diagnosis, doctor};
use clap::ValueEnum;

use crate::logging::complain;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DoctorFormat {
    /// Text for a terminal
    Table,
    /// One JSON object
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// How to print the answer
    #[arg(long, env = "APPWEIGHT_DOCTOR_FORMAT", default_value = "table")]
    pub(crate) format: DoctorFormat,
    /// Exit 1 also where instructions are not counted
    #[arg(long, env = "APPWEIGHT_DOCTOR_REQUIRE_INSTRUCTIONS")]
    pub(crate) require_instructions: bool,
}

/// Something that is asked for is missing.
const LESS: u8 = 1;
/// It cannot be told.
const CANNOT_TELL: u8 = 2;

/// Looks, prints what was found, and judges it by the exit status.
pub(crate) fn run(options: &DoctorArgs, out: &mut dyn Write) -> ExitCode {
    let told = doctor()
        .map_err(anyhow::Error::from)
        .and_then(|found| tell(&found, options, out).map(|()| found));
    match told {
        Ok(found) => ExitCode::from(status(&found, options)),
        Err(error) => {
            complain(&error);
            ExitCode::from(CANNOT_TELL)
        }
    }
}

fn tell(found: &Diagnosis, options: &DoctorArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    match options.format {
        DoctorFormat::Table => table::print(found, out)?,
        DoctorFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, found)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

fn status(found: &Diagnosis, options: &DoctorArgs) -> u8 {
    let enough =
        found.counts_every_request && (found.counts_instructions || !options.require_instructions);
    if enough { 0 } else { LESS }
}
