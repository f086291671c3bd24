//! A collector that asks for tokens, and what is let in with them.

use std::time::Duration;

use appweight_tests::{Child, Measured, Service, eventually, get, program, run};

const READ: &str = "may-read-0123456789abcdef";
const WRITE: &str = "may-write-0123456789abcdef";

struct Guarded {
    child: Child,
    folder: tempfile::TempDir,
}

impl Guarded {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let list = folder.path().join("tokens");
        std::fs::write(&list, format!("read {READ}\nwrite small {WRITE}\n"))
            .expect("a file can be written");
        let mut command = program("appweight");
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--database"])
            .arg(folder.path().join("store.db"))
            .arg("--tokens-file")
            .arg(list);
        Self {
            child: Child::start(command).expect("it starts"),
            folder,
        }
    }
}

#[test]
fn agent_commands_and_pages_are_let_in_by_their_tokens_alone() {
    let guarded = Guarded::start();
    let url = &guarded.child.url;
    for path in ["/", "/processes", "/v1/services", "/metrics"] {
        assert_eq!(get(&format!("{url}{path}")).unwrap().status, 401, "{path}");
    }
    assert_eq!(get(&format!("{url}/healthz")).unwrap().status, 200);

    let announce = |service: &str, token: &str| {
        run(&[
            "deploy",
            "a",
            "--service",
            service,
            "--collector",
            url,
            "--token",
            token,
        ])
    };
    assert_eq!(announce("small", READ).code, 2);
    let other = announce("other", WRITE);
    assert!(other.stderr.contains("for small"), "{}", other.stderr);
    let announced = announce("small", WRITE);
    assert_eq!(announced.code, 0, "{}", announced.stderr);

    let measured = Measured::by(url, "a", "web-1").with(|agent| agent.token(WRITE));
    let service = Service::start(measured, 1);
    assert_eq!(
        get(&format!("{}/hello/Kim", service.url)).unwrap().status,
        200
    );
    assert!(service.stop(Duration::from_secs(20)), "all was taken");

    // The dashboard of its own asks with the token and asks for it.
    let mut command = program("appweight");
    command
        .args(["dashboard", "--listen", "127.0.0.1:0", "--collector", url])
        .env("APPWEIGHT_TOKEN", READ);
    let dashboard = Child::start(command).unwrap();
    assert_eq!(get(&dashboard.url).unwrap().status, 401);
    for page in [url, &dashboard.url] {
        // As a browser does once its reader has told it: http://anyone:TOKEN@….
        let page = page.replace("http://", &format!("http://anyone:{READ}@"));
        eventually("the service is on the page", || {
            let page = get(&page)?;
            assert_eq!(page.status, 200, "{}", page.text);
            page.text.contains("small").then_some(()).ok_or(page.text)
        });
    }
    let said = guarded.child.said();
    assert!(!said.contains(READ) && !said.contains(WRITE), "{said}");
    drop(guarded.folder);
}

#[test]
fn nothing_listens_beyond_this_machine_without_tokens_unless_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("store.db").display().to_string();
    let words = ["serve", "--listen", "0.0.0.0:0", "--database", &database];
    let only_read = [&words[..], &["--read-token", READ]].concat();
    for refused in [&words[..], &only_read] {
        let ended = run(refused);
        assert_eq!(ended.code, 2);
        assert!(
            ended.stderr.contains("--insecure-no-tokens"),
            "{}",
            ended.stderr
        );
    }
    let both = ["--read-token", READ, "--write-token", WRITE];
    for taken in [&["--insecure-no-tokens"][..], &both] {
        let mut command = program("appweight");
        command.args(words).args(taken);
        assert!(Child::start(command).unwrap().stop().success());
    }
    let short = run(&["serve", "--read-token", "secret-word"]);
    assert_eq!(short.code, 2);
    assert!(!short.stderr.contains("secret-word"), "{}", short.stderr);
}

#[test]
fn nor_does_the_dashboard_alone() {
    let words = ["dashboard", "--listen", "0.0.0.0:0"];
    let refused = run(&words);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("--insecure-no-tokens"),
        "{}",
        refused.stderr
    );
    for taken in [&["--insecure-no-tokens"][..], &["--token", READ]] {
        let mut command = program("appweight");
        command.args(words).args(taken);
        assert!(Child::start(command).unwrap().stop().success());
    }
}
