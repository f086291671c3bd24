//! The programs as people start them.

use std::io::Read;
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use appweight_tests::{Child, Collector, get, program, run};

#[test]
fn help_names_every_command() {
    let help = run(&["--help"]);
    assert_eq!(help.code, 0);
    for command in [
        "serve",
        "collector",
        "dashboard",
        "gate",
        "deploy",
        "alerts",
        "profile",
        "doctor",
        "completions",
    ] {
        assert!(help.stdout.contains(command), "{}", help.stdout);
        let help = run(&[command, "--help"]);
        assert_eq!(help.code, 0, "{command}");
        assert!(help.stdout.contains("Usage: appweight"), "{}", help.stdout);
    }
    let wrong = run(&["serv"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("serve"), "{}", wrong.stderr);
}

#[test]
fn the_doctor_tells_what_can_be_counted_here_and_judges_it_by_its_status() {
    let table = run(&["doctor"]);
    for line in [
        "read by",
        "clock_gettime(CLOCK_THREAD_CPUTIME_ID)",
        "/proc/self/statm",
    ] {
        assert!(table.stdout.contains(line), "{table:?}");
    }
    let json = run(&["doctor", "--format", "json"]);
    let found: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(found["counters"][0]["counter"], "cpu");
    assert_eq!(found["counters"][0]["ways"].as_array().unwrap().len(), 3);
    let every = found["counts_every_request"].as_bool().unwrap();
    let instructions = found["counts_instructions"].as_bool().unwrap();
    assert_eq!(json.code, i32::from(!every), "{json:?}");
    assert_eq!(table.code, json.code);
    let strict = run(&["doctor", "--require-instructions"]);
    assert_eq!(
        strict.code,
        i32::from(!(every && instructions)),
        "{strict:?}"
    );
    // The same without perf events, as in most containers.
    if instructions {
        assert!(
            table.stdout.contains("Instructions are counted"),
            "{table:?}"
        );
    } else {
        assert!(table.stdout.contains("To get more"), "{table:?}");
    }
}

#[test]
fn a_shell_can_complete() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert_eq!(script.code, 0);
        for word in ["appweight", "gate", "max-increase"] {
            assert!(script.stdout.contains(word), "{shell}");
        }
    }
}

#[test]
fn nothing_is_coloured_where_nobody_wants_it() {
    for no_color in [None, Some("1")] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = program("appweight");
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--database"])
            .arg(folder.path().join("store.db"));
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        let child = Child::start(command).unwrap();
        assert_eq!(get(&child.url).unwrap().status, 200);
        assert!(!child.said().contains('\u{1b}'), "{}", child.said());
    }
    let refused = run(&[
        "gate",
        "--base",
        "a",
        "--head",
        "b",
        "--collector",
        "http://127.0.0.1:1",
    ]);
    assert!(!refused.stderr.contains('\u{1b}'), "{}", refused.stderr);
}

#[test]
fn options_are_environment_variables_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program("appweight");
    command
        .arg("serve")
        .env("APPWEIGHT_LISTEN", "127.0.0.1:0")
        .env("APPWEIGHT_DATABASE", folder.path().join("store.db"));
    let child = Child::start(command).unwrap();
    assert_eq!(get(&child.url).unwrap().status, 200);
    assert!(folder.path().join("store.db").is_file());
}

#[test]
fn ids_of_batches_are_kept_for_as_long_as_agents_send_them_again() {
    let refused = run(&["serve", "--keep-batch-ids", "6d 23h"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    let told = &refused.stderr;
    assert!(
        told.contains("--keep-batch-ids") && told.contains("7d"),
        "{told}"
    );
    let folder = tempfile::tempdir().unwrap();
    let child = Collector::start_with(folder.path(), |command| {
        command.env("APPWEIGHT_KEEP_BATCH_IDS", "7d");
    });
    assert_eq!(child.get("/healthz").status, 200);
}

#[test]
fn options_that_leave_no_room_for_anything_are_refused() {
    for option in ["--max-services", "--max-endpoints", "--queue-bytes"] {
        let refused = run(&["serve", option, "0"]);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains(option), "{}", refused.stderr);
    }
    let folder = tempfile::tempdir().unwrap();
    let child = Collector::start_with(folder.path(), |command| {
        command.env("APPWEIGHT_KEEP_MINUTES", "1d");
        command.env("APPWEIGHT_COLLECTOR_QUEUE_BYTES", "1MiB");
    });
    let said = child.said();
    assert!(said.contains("--keep-hosts is longer"), "{said}");
    assert!(said.contains("not the 1048576 of --queue-bytes"), "{said}");
}

#[test]
fn it_ends_when_it_is_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program("appweight");
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--database"])
        .arg(folder.path().join("store.db"));
    let child = Child::start(command).unwrap();
    assert!(child.stop().success());
}

#[test]
fn a_port_that_is_taken_and_a_store_that_is_none_are_told() {
    let collector = Collector::start();
    let listen = collector.url.trim_start_matches("http://");
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("store.db").display().to_string();
    let taken = run(&["serve", "--listen", listen, "--database", &database]);
    assert_eq!(taken.code, 2);
    assert!(taken.stderr.contains(listen), "{}", taken.stderr);

    let no_store = folder.path().join("not-a-store.db");
    std::fs::write(&no_store, "certainly not a database".repeat(100)).unwrap();
    let no_store = no_store.display().to_string();
    let refused = run(&["serve", "--listen", "127.0.0.1:0", "--database", &no_store]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("not-a-store.db"),
        "{}",
        refused.stderr
    );
    let nowhere = folder.path().join("nowhere");
    let database = nowhere.join("store.db").display().to_string();
    let refused = run(&["serve", "--listen", "127.0.0.1:0", "--database", &database]);
    let told = format!("there is no folder {}", nowhere.display());
    assert!(refused.stderr.contains(&told), "{}", refused.stderr);
    let folder = folder.path().display().to_string();
    let refused = run(&["serve", "--listen", "127.0.0.1:0", "--database", &folder]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("it is a folder"),
        "{}",
        refused.stderr
    );
}

/// Where nobody should call; counts who does.
fn silent_collector() -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it has one"));
    let calls = Arc::new(AtomicU64::new(0));
    std::thread::spawn({
        let calls = Arc::clone(&calls);
        move || {
            for connection in listener.incoming() {
                calls.fetch_add(1, Ordering::SeqCst);
                drop(connection);
            }
        }
    });
    (url, calls)
}

#[test]
fn a_disabled_agent_sends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("photos.db");
    let mut seed = program("photo-backend");
    seed.args(["seed", "--users", "50", "--database"])
        .arg(&database);
    assert!(seed.output().unwrap().status.success());
    let calls_with = |disabled: &str| {
        let (url, calls) = silent_collector();
        let mut command = program("photo-backend");
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--cell-width", "200ms"])
            .args(["--collector", &url, "--database"])
            .arg(&database)
            .env("APPWEIGHT_DISABLED", disabled);
        let child = Child::start(command).unwrap();
        let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
        for _ in 0..20 {
            let feed = agent.get(format!("{}/feed", child.url));
            let answer = feed.header("x-user", "1").call().unwrap();
            assert_eq!(answer.status(), 200);
        }
        // Whatever was counted would be sent now.
        assert!(child.stop().success());
        calls.load(Ordering::SeqCst)
    };
    assert_eq!(calls_with("1"), 0);
    assert!(calls_with("0") > 0, "otherwise it does send");
}

#[test]
fn whoever_reads_no_more_of_the_output_is_told_nothing() {
    let mut command = program("appweight");
    command.args(["simulate", "--seed", "1"]);
    let mut simulate = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut read = [0; 100];
    // Closed then, as `| head -c 100` does.
    simulate
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut read)
        .unwrap();
    let ended = simulate.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert_eq!(ended.status.code(), Some(2));
}
