//! The program `appweight` as a library: it parses options and calls the rooms. What else asks a
//! collector over HTTP does so with the same [`Collector`].

mod accept;
mod alerts;
mod args;
mod backup;
mod cell_lines;
mod changepoints;
mod collector;
mod deploy;
mod doctor;
mod drift;
mod evaluate;
mod export;
mod flags;
mod format;
mod gate;
mod itself;
mod judge;
mod logging;
mod profile;
mod serve;
mod services;
mod simulate;
mod store_address;
mod stores;
mod tls;
mod units;

use std::io::BufWriter;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Args, Chore, Command};
pub use collector::Collector;

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    let args = Args::parse();
    logging::start(&args.log);
    let ran = match args.command {
        Command::Serve(options) => serve::serve(&options),
        Command::Collector(options) => match &options.chore {
            None => serve::collector(&options.serve),
            Some(Chore::Backup(backup)) => backup::run(backup, &mut std::io::stdout().lock()),
            Some(Chore::Export(export)) => export::run(export, &mut std::io::stdout().lock()),
            Some(Chore::Migrate(migrate)) => {
                stores::migrate(migrate, &mut std::io::stdout().lock())
            }
            Some(Chore::Copy(copy)) => stores::copy(copy, &mut std::io::stdout().lock()),
        },
        Command::Dashboard(options) => serve::dashboard(&options),
        Command::Gate(options) => return gate::run(&options, &mut std::io::stdout().lock()),
        Command::Deploy(options) => deploy::run(&options, &mut std::io::stdout().lock()),
        Command::Alerts(options) => alerts::run(&options, &mut std::io::stdout().lock()),
        Command::Drift(options) => drift::run(&options, &mut std::io::stdout().lock()),
        Command::Flags(options) => flags::run(&options, &mut std::io::stdout().lock()),
        Command::Judge(options) => {
            judge::run(&options, &mut BufWriter::new(std::io::stdout().lock()))
        }
        Command::Simulate(options) => simulate::run(&options, &mut std::io::stdout().lock()),
        Command::Evaluate(options) => evaluate::run(&options, &mut std::io::stdout().lock()),
        Command::Profile(options) => {
            return profile::run(&options, &mut std::io::stdout().lock());
        }
        Command::Changepoints => {
            return changepoints::run(&mut std::io::stdin().lock(), &mut std::io::stdout().lock());
        }
        Command::Doctor(options) => {
            return doctor::run(&options, &mut std::io::stdout().lock());
        }
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Args::command(),
                "appweight",
                &mut std::io::stdout(),
            );
            Ok(())
        }
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::complain(&error);
            ExitCode::from(2)
        }
    }
}
