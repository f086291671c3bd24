//! What the demo says: lines that stay, and one that tells where the day is.

use std::io::{IsTerminal, Write};

/// Prints a line that stays.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let clear = if out.is_terminal() { "\r\x1b[K" } else { "" };
    // A closed output is no reason to end the day.
    let _ = writeln!(out, "{clear}{text}");
    let _ = out.flush();
}

/// Replaces the line that tells where the day is; says nothing where lines cannot be replaced.
pub(crate) fn progress(text: &str) {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        let _ = write!(out, "\r\x1b[K{text}");
        let _ = out.flush();
    }
}
