use std::fs;
use std::path::Path;

use appweight::profile::{Function, Timer};
use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::args::{Args, Command};

/// A file of one profiled service; the numbers are ns, `turn` makes each file a little different.
fn file(path: &Path, turn: i64, stacks: &[(&str, i64)]) {
    let mut profile = Profile::new(Timer::new("cpu", "ns"));
    for (stack, own) in stacks {
        let node = stack.split(';').fold(profile.root(), |node, name| {
            let function = Function {
                name: name.to_owned(),
                file: "src/feed.rs".to_owned(),
                line: u32::try_from(name.len()).unwrap(),
            };
            profile.child(node, &function)
        });
        profile.add(node, 10, own * (100 + turn) / 100);
    }
    fs::write(path, pprof::write(&profile)).unwrap();
}

const OLD: [(&str, i64); 4] = [
    ("tokio::runtime::run;feed;load_users", 2_000_000),
    ("tokio::runtime::run;feed;query", 3_000_000),
    ("tokio::runtime::run;feed;render", 5_000_000),
    ("tokio::runtime::run", 100_000),
];
const NEW: [(&str, i64); 4] = [
    ("tokio::runtime::run;feed;load_authors", 2_000_000),
    ("tokio::runtime::run;feed;query", 6_000_000),
    ("tokio::runtime::run;feed;render", 5_000_000),
    ("tokio::runtime::run", 100_000),
];

fn folders(files: i64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, stacks) in [("old", OLD), ("new", NEW)] {
        let inside = folder.path().join(name);
        fs::create_dir(&inside).unwrap();
        for number in 0..files {
            let turn = number % 3 - 1;
            file(&inside.join(format!("{number}.pb.gz")), turn, &stacks);
        }
    }
    folder
}

fn appweight(folder: &TempDir, words: &[&str]) -> (ExitCode, String) {
    let at = |word: &&str| match word.strip_prefix("./") {
        Some(name) => folder.path().join(name).display().to_string(),
        None => (*word).to_owned(),
    };
    let words = ["appweight".to_owned(), "profile".to_owned()]
        .into_iter()
        .chain(words.iter().map(at));
    let Command::Profile(options) = Args::parse_from(words).command else {
        panic!("the command is profile")
    };
    let mut out = Vec::new();
    let code = run(&options, &mut out);
    (code, String::from_utf8(out).unwrap())
}

#[test]
fn one_profile_as_a_table() {
    let folder = folders(2);
    let (code, text) = appweight(&folder, &["--pprof", "./old", "--requests", "10"]);
    assert_eq!(code, ExitCode::SUCCESS);
    insta::assert_snapshot!(text);
    let (_, raw) = appweight(
        &folder,
        &["--pprof", "./old/0.pb.gz", "--raw", "--top", "1"],
    );
    insta::assert_snapshot!(raw);
}

#[test]
fn two_profiles_as_a_table_with_what_moved_and_who_is_to_blame() {
    let folder = folders(6);
    let words = ["diff", "./old", "./new", "--requests", "60", "60"];
    let (code, text) = appweight(&folder, &words);
    assert_eq!(code, ExitCode::SUCCESS);
    insta::assert_snapshot!(text);
}

#[test]
fn the_increase_is_held_to_a_limit() {
    let judged = |files, limit| {
        let folder = folders(files);
        let words = ["diff", "./old", "./new", "--max-increase", limit];
        let (code, text) = appweight(&folder, &words);
        (code, text.lines().last().unwrap().to_owned())
    };
    let (code, line) = judged(6, "5%");
    assert_eq!(
        (code, line.as_str()),
        (ExitCode::from(1), "FAIL: at most +5.0 % allowed")
    );
    let (code, line) = judged(6, "60%");
    assert_eq!(
        (code, line.as_str()),
        (ExitCode::SUCCESS, "PASS: at most +60.0 % allowed")
    );
    let (code, line) = judged(6, "30%");
    assert_eq!(code, ExitCode::from(2), "{line}");
    let (code, line) = judged(1, "5%");
    assert_eq!(code, ExitCode::from(2));
    assert!(line.contains("five files or more"), "{line}");
}

#[test]
fn other_forms_are_for_other_programs() {
    let folder = folders(1);
    let (_, folded) = appweight(&folder, &["--pprof", "./old", "--format", "folded"]);
    assert!(folded.contains("feed;query 2970000\n"), "{folded}");
    let (_, svg) = appweight(&folder, &["diff", "./old", "./new", "--format", "svg"]);
    assert!(svg.contains("<svg"), "{svg}");
    let (_, json) = appweight(&folder, &["diff", "./old", "./new", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["functions"][0]["function"]["name"], "query");
    let (code, _) = appweight(&folder, &["diff", "./old", "./new", "--format", "pprof"]);
    assert_eq!(code, ExitCode::from(2));
}

#[test]
fn a_file_that_is_no_profile_is_named() {
    let folder = folders(1);
    fs::write(folder.path().join("text"), "no profile").unwrap();
    for words in [["--pprof", "./text"], ["--pprof", "./nowhere"]] {
        assert_eq!(
            appweight(&folder, &words),
            (ExitCode::from(2), String::new())
        );
    }
    let Err(error) = Side::read(&[folder.path().join("text")], None) else {
        panic!("text is no profile")
    };
    let said = format!("{error:#}");
    assert!(
        said.contains("text cannot be used: not a pprof profile"),
        "{said}"
    );
}
