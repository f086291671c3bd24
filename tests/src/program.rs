use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A program of this workspace, without the settings of whoever runs the tests.
///
/// # Panics
/// If it has not been built.
#[must_use]
pub fn program(name: &str) -> Command {
    let mut command = Command::new(path(name));
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy();
        if ["APPWEIGHT_", "PHOTO_", "NO_COLOR", "RUST_LOG"]
            .iter()
            .any(|ours| text.starts_with(ours))
        {
            command.env_remove(variable);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Tests lie in the target folder's `deps`, programs one above it.
fn path(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let path = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    path.unwrap_or_else(|| {
        panic!("{name} is not built: run `cargo xtask test`, which builds it first")
    })
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs `appweight` to its end.
///
/// # Panics
/// If it cannot be started, or a signal ended it.
#[must_use]
pub fn run(words: &[&str]) -> Ended {
    let output = program("appweight")
        .args(words)
        .output()
        .expect("it can be started");
    Ended {
        code: output.status.code().expect("no signal ended it"),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
