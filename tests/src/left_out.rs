use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;

/// Tells that the test that calls this leaves something out, and why: a tool or a right is missing here. A test that passes
/// shows none of its output, so that the line goes to a file of the target folder too, which `cargo xtask test` prints at
/// its end.
pub fn left_out(because: impl Display) {
    let own = std::env::current_exe().unwrap_or_default();
    // A thread that a test started has no name; the program's own ends in a dash and a hash.
    let program = own.file_stem().unwrap_or_default().to_string_lossy();
    let program = program.rsplit_once('-').map_or(&*program, |(name, _)| name);
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a part of it");
    let because = because.to_string().replace('\n', " ");
    let line = format!("left out: {program} {test} because {because}\n");
    // Neither is what the test is about.
    let _ = std::io::stderr().write_all(line.as_bytes());
    // A test lies in target/debug/deps. Of several processes that append a line at once each writes it whole.
    let list = own
        .ancestors()
        .nth(3)
        .map(|target| target.join("left-out.txt"));
    let file = list.and_then(|list| OpenOptions::new().create(true).append(true).open(list).ok());
    if let Some(mut file) = file {
        let _ = file.write_all(line.as_bytes());
    }
}
