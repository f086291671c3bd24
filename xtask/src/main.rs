//! AppWeight's own chores. `cargo xtask help` lists them.

mod clickhouse;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};

/// AppWeight's own chores
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the programs and run all tests; words after it go to cargo test
    Test {
        /// Passed on, e.g. -p appweight-wire
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// What a change must pass before it is proposed: format, lints, docs, tests
    Check,
    /// Fail if the lock file of a crate outside of the workspace is older than the crates it uses
    Locks,
    /// Run the criterion benches
    Bench {
        /// Passed on, e.g. -p appweight-agent
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Set the agent's layer beside its peers; a word after it picks layers by name
    Peers {
        /// Passed on, e.g. AppWeight
        rest: Vec<String>,
    },
    /// Measure what the agent costs the photo service: throughput, latency, CPU, with it against
    /// without it
    #[command(disable_help_flag = true)]
    Overhead {
        /// Passed on, e.g. --help
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Draw the pictures of docs/method.md from simulated days
    Pictures,
    /// Run what Miri can run of the unsafe code; needs a nightly toolchain with miri and rust-src
    Miri,
    /// Look at the licences of all dependencies, and at versions that nobody chose; needs cargo-deny
    Deny,
}

fn main() -> ExitCode {
    match run(Args::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Test { rest } => test(&rest),
        Task::Check => {
            cargo(&["fmt", "--check"])?;
            let mut clippy = vec!["clippy", "--locked", "--workspace", "--all-targets"];
            clippy.extend(FEATURES);
            clippy.extend(["--features", ENGINE, "--", "-D", "warnings"]);
            cargo(&clippy)?;
            let mut doc = vec!["doc", "--locked", "--workspace", "--no-deps"];
            doc.extend(FEATURES);
            cargo_with(&[("RUSTDOCFLAGS", "-D warnings")], &doc)?;
            test(&[])
        }
        Task::Locks => locks(),
        Task::Bench { rest } => {
            let mut words = vec!["bench", "--locked"];
            words.extend(rest.iter().map(String::as_str));
            cargo(&words)
        }
        Task::Peers { rest } => {
            let mut words = vec![
                "run",
                "--release",
                "--manifest-path",
                "peers/Cargo.toml",
                "--",
            ];
            words.extend(rest.iter().map(String::as_str));
            cargo(&words)
        }
        Task::Overhead { rest } => overhead(&rest),
        Task::Pictures => cargo(&[
            "run",
            "--quiet",
            "--locked",
            "--release",
            "--package",
            "appweight",
            "--example",
            "pictures",
            "--",
            "docs/images",
        ]),
        Task::Miri => miri(),
        Task::Deny => deny(),
    }
}

/// Crates outside of the workspace with lock files of their own, which no other command looks at.
const OUTSIDE: [&str; 3] = ["peers", "peers/stacks", "fuzz"];

/// A dependency that one of our crates gained is missing in the lock files of those who use it from
/// outside; their benches and fuzz targets would not start then.
fn locks() -> anyhow::Result<()> {
    for folder in OUTSIDE {
        let manifest = format!("{folder}/Cargo.toml");
        cargo(&["update", "--quiet", "--workspace", "--locked", "--manifest-path", &manifest])
            .with_context(|| format!("{folder}/Cargo.lock is stale: run `cargo update --workspace --manifest-path {manifest}` and commit it"))?;
    }
    Ok(())
}

/// By one `deny.toml`, that of the workspace. What a crate outside of it may have beyond is in a `deny.exceptions.toml` of its own.
fn deny() -> anyhow::Result<()> {
    for folder in ["."].iter().chain(&OUTSIDE) {
        let manifest = format!("{folder}/Cargo.toml");
        let words = ["deny", "--locked", "--manifest-path", &manifest];
        let checks = ["check", "bans", "licenses"];
        cargo(&[words.as_slice(), checks.as_slice()].concat()).with_context(|| {
            format!("{manifest}: cargo install cargo-deny --locked installs what it needs")
        })?;
    }
    Ok(())
}

/// Tests of the agent that Miri runs. The other modules with unsafe code make system calls that it does not know, or
/// contain instructions.
const MIRI: [&str; 4] = [
    "handover::",
    "allocator::",
    "frames::follow::",
    "counters::page::",
];

fn miri() -> anyhow::Result<()> {
    let mut words = vec!["run", "nightly", "cargo", "miri", "test", "--locked"];
    words.extend(["--package", "appweight-agent", "--lib", "--"]);
    words.extend(MIRI);
    run_program(Command::new("rustup").args(words)).context(
        "rustup toolchain install nightly --component miri,rust-src installs what it needs",
    )
}

/// What the programs can do beyond what people build by default: it is tested too.
const FEATURES: [&str; 2] = [
    "--features",
    "appweight-cli/parquet,appweight-cli/clickhouse",
];

/// Tests that need ClickHouse's engine, which is started for them.
const ENGINE: &str = "clickhouse-front/engine,appweight-tests/clickhouse";

/// The end-to-end tests start the real programs, so these are built first. All tests together have ClickHouse's engine too, and
/// so have those for which a feature of that name is named.
fn test(rest: &[String]) -> anyhow::Result<()> {
    if rest.is_empty() {
        locks()?;
    }
    let mut build = vec![
        "build",
        "--locked",
        "--package",
        "appweight-cli",
        "--package",
        "photo-backend",
        "--bins",
    ];
    build.extend(FEATURES);
    let with_clickhouse = rest.is_empty() || rest.iter().any(|word| word.contains("clickhouse"));
    if with_clickhouse {
        build.extend(["--package", "clickhouse-front"]);
    }
    cargo(&build)?;
    let mut words = vec!["test", "--locked"];
    if rest.is_empty() {
        words.push("--workspace");
        words.extend(FEATURES);
        words.extend(["--features", ENGINE]);
        // Who waits for all tests is told of all that fail.
        words.push("--no-fail-fast");
    }
    words.extend(rest.iter().map(String::as_str));
    let clickhouse = if with_clickhouse {
        clickhouse::Clickhouse::start(&std::path::absolute(target())?)?
    } else {
        None
    };
    let variables = clickhouse.iter().flat_map(|started| &started.variables);
    let variables = variables.map(|(name, value)| (*name, value.as_str()));
    // What tests of an earlier run left out is there now, perhaps.
    let list = target().join("left-out.txt");
    let _ = std::fs::remove_file(&list);
    let tested = cargo_with(&variables.collect::<Vec<_>>(), &words);
    tell_what_was_left_out(&list);
    tested
}

/// Tests pass over what this machine has no tool or no right for (`tests/src/left_out.rs`), and who passes is not heard.
fn tell_what_was_left_out(list: &Path) {
    use std::io::Write;
    let lines = std::fs::read_to_string(list).unwrap_or_default();
    for line in lines.lines().collect::<BTreeSet<_>>() {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// Where cargo builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from)
}

/// With the programs as people run them.
fn overhead(rest: &[String]) -> anyhow::Result<()> {
    cargo(&[
        "build",
        "--locked",
        "--release",
        "--package",
        "appweight-cli",
        "--package",
        "photo-backend",
        "--bins",
    ])?;
    let mut words = vec![
        "run",
        "--quiet",
        "--locked",
        "--release",
        "--package",
        "photo-backend",
        "--",
        "overhead",
    ];
    words.extend(rest.iter().map(String::as_str));
    cargo(&words)
}

fn cargo(words: &[&str]) -> anyhow::Result<()> {
    cargo_with(&[], words)
}

fn cargo_with(variables: &[(&str, &str)], words: &[&str]) -> anyhow::Result<()> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let variables = variables.iter().copied();
    run_program(Command::new(program).args(words).envs(variables))
}

fn run_program(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}
