use std::io::{self, IsTerminal, Write};

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

/// Says why the program ends, with every cause. Nothing where it ends because nobody reads its output any more, as behind
/// `| head`.
pub(crate) fn complain(error: &anyhow::Error) {
    if is_unread(error) {
        return;
    }
    // Nothing is left to be done if standard error is closed.
    let _ = writeln!(std::io::stderr(), "appweight: {error:#}");
}

/// Whether it is an output that was closed: a connection that breaks has more to it than that.
fn is_unread(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    let first = causes.next().and_then(|cause| {
        let written = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let as_json = cause.downcast_ref::<serde_json::Error>();
        written.or_else(|| as_json?.io_error_kind())
    });
    causes.next().is_none() && first == Some(io::ErrorKind::BrokenPipe)
}
