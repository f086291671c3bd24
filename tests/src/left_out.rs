use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;

/// Tells that the test that calls this leaves something out, and why: a tool or a right is missing here. A test that passes
/// shows none of its output, so that the line goes to a file of the target folder too, which `cargo xtask test` prints at
/// its end.
pub fn left_out(because: impl Display) {
    let thread = std::thread::current();
    let because = because.to_string().replace('\n', " ");
    let line = format!(
        "left out: {} because {because}\n",
        thread.name().unwrap_or("a test")
    );
    // Neither is what the test is about.
    let _ = std::io::stderr().write_all(line.as_bytes());
    // A test lies in target/debug/deps. Of several processes that append a line at once each writes it whole.
    let own = std::env::current_exe().ok();
    let list = own.and_then(|own| Some(own.ancestors().nth(3)?.join("left-out.txt")));
    let file = list.and_then(|list| OpenOptions::new().create(true).append(true).open(list).ok());
    if let Some(mut file) = file {
        let _ = file.write_all(line.as_bytes());
    }
}
