use std::io::{IsTerminal, Write};

use tracing_subscriber::EnvFilter;

/// Logs to standard error, in colour only on a terminal that wants it (<https://no-color.org>).
pub(crate) fn start(filter: &str) {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let (filter, bad) = match EnvFilter::try_new(filter) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(!plain && std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    if let Some(error) = bad {
        tracing::warn!(%error, "the log filter is not understood, info is used");
    }
}

/// Says why the program ends, with every cause.
pub(crate) fn complain(error: &anyhow::Error) {
    // Nothing is left to be done if standard error is closed.
    let _ = writeln!(std::io::stderr(), "appweight: {error:#}");
}
