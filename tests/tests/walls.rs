//! The walls between the rooms, as ARCHITECTURE.md draws them: who may use whom, and where SQL,
//! clocks and files may be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The workspace's own crates.
const OURS: [&str; 8] = [
    "appweight",
    "appweight-agent",
    "appweight-agent-macros",
    "appweight-collector",
    "appweight-dashboard",
    "appweight-wire",
    "appweight-cli",
    "photo-backend",
];
/// Lines of the longest file that one still reads with pleasure.
const LINES: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The crates that a room's code (not its tests) depends on.
fn uses(room: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join(room).join("Cargo.toml")).expect("a manifest");
    let mut section = String::new();
    let mut names = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
        }
        let of_code = section.ends_with("dependencies") && !section.contains("dev-");
        if let (true, Some((name, _))) = (of_code, line.split_once(['.', '=', ' '])) {
            names.insert(name.to_owned());
        }
        if let Some(name) = section.strip_prefix("dependencies.") {
            names.insert(name.to_owned());
        }
    }
    names
}

fn rooms_used_by(room: &str) -> Vec<String> {
    let uses = uses(room);
    OURS.iter()
        .filter(|name| uses.contains(**name))
        .map(ToString::to_string)
        .collect()
}

/// All Rust files below a folder, without what cargo built.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    for entry in entries.map(|entry| entry.expect("readable").path()) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        if entry.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(sources(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
    found
}

/// A file's code: without comments, and without the unit tests at its end.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a text");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Code without what stands between quotes: to name `std::thread` is not to use it.
fn without_texts(code: &str) -> String {
    let code = code.replace("'\"'", "").replace("\\\"", "");
    code.split('"').step_by(2).collect()
}

fn assert_without(folder: &str, words: &[&str]) {
    let files = sources(&root().join(folder));
    assert!(!files.is_empty(), "{folder} is empty");
    for file in files {
        let code = without_texts(&code(&file));
        for word in words {
            assert!(!code.contains(word), "{word} in {}", file.display());
        }
    }
}

#[test]
fn every_room_uses_only_those_that_it_may() {
    assert_eq!(rooms_used_by("wire"), [""; 0]);
    let of_agent = ["appweight-agent-macros", "appweight-wire"];
    assert_eq!(rooms_used_by("agent"), of_agent);
    assert_eq!(rooms_used_by("agent/macros"), [""; 0]);
    assert_eq!(rooms_used_by("appweight"), ["appweight-wire"]);
    assert_eq!(rooms_used_by("dashboard"), ["appweight", "appweight-wire"]);
    assert_eq!(rooms_used_by("photo-backend"), ["appweight-agent"]);
    for used in rooms_used_by("collector") {
        assert!(
            ["appweight", "appweight-agent", "appweight-wire"].contains(&used.as_str()),
            "{used}"
        );
    }
    assert!(uses("collector").contains("rusqlite"), "nothing was read");
}

#[test]
fn the_judgement_does_nothing_but_reckon() {
    for name in ["tokio", "ureq", "axum", "rusqlite", "hyper", "tracing"] {
        assert!(!uses("appweight").contains(name), "{name}");
    }
    let words = [
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "std::process",
        "SystemTime",
        "Instant::now",
        "tokio::",
        "println!",
    ];
    assert_without("appweight/src", &words);
    assert_without("wire/src", &words);
}

#[test]
fn only_the_store_knows_sql() {
    for room in ["wire", "agent", "appweight", "dashboard", "cli", "demo"] {
        assert!(!uses(room).contains("rusqlite"), "{room}");
    }
    let store = root().join("collector/src/store");
    for file in sources(&root().join("collector/src")) {
        if file.starts_with(&store) {
            continue;
        }
        let code = code(&file);
        for word in ["rusqlite", "SELECT ", "INSERT INTO", "DELETE FROM"] {
            assert!(!code.contains(word), "{word} in {}", file.display());
        }
    }
}

#[test]
fn no_file_is_too_long() {
    let mut seen = 0;
    for file in sources(&root()) {
        let lines = fs::read_to_string(&file).expect("a text").lines().count();
        assert!(lines < LINES, "{} has {lines} lines", file.display());
        seen += 1;
    }
    assert!(seen > 100, "only {seen} files were read");
}
