//! What starts a collector in `deploy/` and in the docs fits the program: units and images set variables that are read,
//! a unit lets the program have what it asks of the kernel.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use appweight_tests::{Child, SystemCalls, get, get_over_tls, left_out, program, run};

fn repo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(name: &str) -> String {
    fs::read_to_string(repo().join(name)).expect(name)
}

fn unit() -> String {
    text("deploy/appweight.service")
}

#[test]
fn units_and_images_set_variables_that_are_read() {
    let help = run(&["serve", "--help"]).stdout;
    for file in ["deploy/appweight.service", "deploy/Containerfile"] {
        let text = text(file);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let variables: BTreeSet<&str> = words
            .filter(|word| word.starts_with("APPWEIGHT_"))
            .collect();
        assert!(variables.len() > 2, "{file}: {variables:?}");
        for variable in variables {
            // With its value behind it, unless that may be a secret.
            let is_read = ["=", "]"].map(|end| help.contains(&format!("[env: {variable}{end}")));
            assert!(is_read.contains(&true), "{file}: {variable}");
        }
    }
}

/// What a unit or an image starts: the words after the program's name, and the variables that it sets.
struct Started {
    words: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Started {
    fn by_the_unit(unit: &str) -> Self {
        let of = |key: &str| -> Vec<String> {
            let lines = unit.lines().filter_map(|line| line.strip_prefix(key));
            lines.map(str::to_owned).collect()
        };
        let started = of("ExecStart=/usr/local/bin/appweight ").join(" ");
        let variables = of("Environment=");
        Self {
            words: started.split(' ').map(str::to_owned).collect(),
            variables: variables.iter().map(|one| pair(one)).collect(),
        }
    }

    fn by_the_image() -> Self {
        let file = text("deploy/Containerfile").replace("\\\n", " ");
        let of = |key: &str| {
            let mut lines = file.lines().filter_map(|line| line.strip_prefix(key));
            let line = lines.next().expect(key);
            assert!(lines.next().is_none(), "{key} is there twice");
            line
        };
        let words = |list: &str| -> Vec<String> { serde_json::from_str(list).expect(list) };
        assert_eq!(words(of("ENTRYPOINT ")), ["/usr/local/bin/appweight"]);
        Self {
            words: words(of("CMD ")),
            variables: of("ENV ").split_whitespace().map(pair).collect(),
        }
    }

    /// What starts it on this machine, with its files below `folder` and its credentials in `folder/etc`.
    fn here(&self, folder: &Path) -> Command {
        let own = folder.display().to_string();
        let tokens = folder.join("etc/tokens");
        fs::create_dir_all(folder.join("etc")).expect("a folder");
        fs::create_dir_all(folder.join("appweight")).expect("a folder");
        fs::write(
            &tokens,
            "read reads-0123456789abcdef\nwrite writes-0123456789abcdef\n",
        )
        .expect("a file");
        let mut command = program("appweight");
        command.args(&self.words).current_dir(folder);
        for (name, value) in &self.variables {
            let value = value.replace("%S", &own).replace("/data", &own);
            let value = value.replace("%d", &format!("{own}/etc"));
            let value = match name.as_str() {
                "APPWEIGHT_LISTEN" => value.rsplit_once(':').expect("a port").0.to_owned() + ":0",
                "APPWEIGHT_TOKENS_FILE" => tokens.display().to_string(),
                _ => value,
            };
            command.env(name, value);
        }
        command
    }
}

fn pair(set: &str) -> (String, String) {
    let (name, value) = set.split_once('=').expect("NAME=VALUE");
    (name.to_owned(), value.to_owned())
}

#[test]
fn what_units_and_images_start_starts_and_asks_for_tokens() {
    for started in [Started::by_the_unit(&unit()), Started::by_the_image()] {
        let folder = tempfile::tempdir().unwrap();
        let child = Child::start(started.here(folder.path())).expect("it starts");
        let port = child.url.rsplit(':').next().unwrap();
        let asked = |path: &str| {
            get(&format!("http://127.0.0.1:{port}{path}"))
                .unwrap()
                .status
        };
        assert_eq!((asked("/healthz"), asked("/v1/services")), (200, 401));
        assert!(child.stop().success());
    }
}

/// As an operator may have it by the variables of `collector.env`: the agent asks the kernel for more than the collector.
#[test]
fn a_collector_that_measures_itself_starts_with_what_the_unit_lets_it_ask_of_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let start = |unit: &str| {
        let mut started = Started::by_the_unit(unit);
        started
            .variables
            .push(pair("APPWEIGHT_MEASURE_ITSELF=true"));
        let mut command = started.here(folder.path());
        SystemCalls::of_unit(unit).map(|calls| {
            calls.limit(&mut command);
            Child::start(command)
        })
    };
    let (unit, line) = (unit(), "SystemCallErrorNumber=EPERM\n");
    assert!(unit.contains(line));
    let child = match start(&unit) {
        Ok(started) => started.expect("it starts"),
        Err(missing) => return left_out(missing),
    };
    let said = child.said();
    assert!(
        said.contains("AppWeight: counts cpu by")
            && said.contains("perf_event_open is not permitted"),
        "{said}"
    );
    assert_eq!(get(&format!("{}/healthz", child.url)).unwrap().status, 200);
    assert!(child.stop().success());

    // Without that line the first such call ends it. Root's SQLite also gives its files an owner, which no service's does.
    let unit = unit.replace(line, "SystemCallFilter=@chown\n");
    let said = start(&unit).expect("as before").expect_err("it ends");
    assert!(said.contains("store opened"), "{said}");
}

/// What the docs tell to add to the unit for TLS.
fn tls_drop_in() -> String {
    let docs = text("docs/operating.md");
    let (_, drop_in) = docs.split_once("```ini\n").expect("it is there");
    let (drop_in, rest) = drop_in.split_once("```").expect("it ends");
    assert!(!rest.contains("```ini"), "which of them is for TLS?");
    drop_in.to_owned()
}

#[test]
fn the_unit_speaks_tls_with_what_the_docs_tell_to_add() {
    let unit = format!("{}\n{}", unit(), tls_drop_in());
    let folder = tempfile::tempdir().unwrap();
    let command = Started::by_the_unit(&unit).here(folder.path());
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let mut loaded = 0;
    for credential in unit
        .lines()
        .filter_map(|line| line.strip_prefix("LoadCredential="))
    {
        let (id, path) = credential.split_once(":/etc/appweight/").expect("ID:FILE");
        let content = match path {
            "tokens" => continue,
            "cert.pem" => made.cert.pem(),
            "key.pem" => made.signing_key.serialize_pem(),
            other => panic!("what is in {other}?"),
        };
        fs::write(folder.path().join("etc").join(id), content).unwrap();
        loaded += 1;
    }
    assert_eq!(loaded, 2);
    let child = Child::start(command).expect("it starts");
    let port = child.url.rsplit(':').next().unwrap();
    let health = get_over_tls(
        &format!("https://127.0.0.1:{port}/healthz"),
        made.cert.der(),
    );
    assert_eq!(health.unwrap().status, 200);
}

#[test]
fn an_option_that_there_is_not_would_be_seen() {
    let mut unit = Started::by_the_unit(&unit());
    let words: Vec<&str> = unit.words.iter().map(String::as_str).collect();
    assert_eq!(run(&[words.as_slice(), &["--help"]].concat()).code, 0);
    unit.words.push("--liste".into());
    let words: Vec<&str> = unit.words.iter().map(String::as_str).collect();
    assert_eq!(run(&[words.as_slice(), &["--help"]].concat()).code, 2);
}

/// Where there is a systemd to ask; elsewhere nothing is said about the unit.
#[test]
fn systemd_takes_the_unit_with_and_without_tls() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        left_out("there is no systemd-analyze here");
        return;
    }
    let unit = unit();
    let installed = "/usr/local/bin/appweight";
    assert!(unit.contains(installed));
    let here = program("appweight")
        .get_program()
        .to_string_lossy()
        .into_owned();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("appweight.service");
    let drop_ins = folder.path().join("appweight.service.d");
    fs::create_dir(&drop_ins).unwrap();
    let verify = |unit: &str, drop_in: &str| {
        fs::write(&path, unit).unwrap();
        fs::write(drop_ins.join("override.conf"), drop_in).unwrap();
        let output = Command::new("systemd-analyze")
            .arg("verify")
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // What is wrong with units of the machine's own is not ours.
        let ours = said.lines().filter(|line| line.contains("appweight"));
        (output.status.success(), ours.collect::<Vec<_>>().join("\n"))
    };
    let unit = unit.replace(installed, &here);
    let tls = tls_drop_in();
    assert_eq!(verify(&unit, ""), (true, String::new()));
    assert_eq!(verify(&unit, &tls), (true, String::new()));
    let misspelt = |text: &str| text.replace("Credential=", "Credentail=");
    for (unit, drop_in) in [(&misspelt(&unit), ""), (&unit, misspelt(&tls).as_str())] {
        let (_, said) = verify(unit, drop_in);
        assert!(
            said.contains("Credentail"),
            "it finds nothing wrong: {said}"
        );
    }
}
