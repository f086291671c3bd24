//! `appweight`: the one program that people install.

use std::process::ExitCode;

fn main() -> ExitCode {
    appweight_cli::main()
}
