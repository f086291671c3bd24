//! What stands in `deploy/` fits the program: panels and alerts ask for metrics that there are, units and
//! images set variables that are read.

#[cfg(test)]
mod promql;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use appweight_tests::{Child, Collector, get, left_out, program, run};
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;

use promql::{Selector, selectors};

/// What Prometheus itself adds to each series.
const ADDED_LABELS: [&str; 2] = ["job", "instance"];
/// A metric that Prometheus makes.
const ADDED_METRIC: &str = "up";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).expect(name)
}

/// The labels of each series of `/metrics`, by name.
fn series(metrics: &str) -> BTreeMap<String, Vec<BTreeMap<String, String>>> {
    let mut series: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (one, _value) = line.rsplit_once(' ').expect("a value");
        for Selector { metric, matchers } in selectors(one).expect(line) {
            let labels = matchers
                .into_iter()
                .map(|matcher| (matcher.label, matcher.value));
            series.entry(metric).or_default().push(labels.collect());
        }
    }
    series
}

/// Every query of a dashboard, with its panel's title.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut queries = Vec::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect("a query");
            queries.push((title.to_owned(), query.to_owned()));
        }
    }
    queries
}

fn assert_answered(
    of: &str,
    query: &str,
    series: &BTreeMap<String, Vec<BTreeMap<String, String>>>,
) {
    let asked = selectors(query).unwrap_or_else(|why| panic!("{of}: {why} in {query}"));
    assert!(!asked.is_empty(), "{of} asks for nothing: {query}");
    for Selector { metric, matchers } in asked {
        if metric == ADDED_METRIC {
            continue;
        }
        let there = series
            .get(&metric)
            .unwrap_or_else(|| panic!("{of}: there is no metric {metric}"));
        for matcher in matchers {
            if ADDED_LABELS.contains(&matcher.label.as_str()) {
                continue;
            }
            let fits = there.iter().filter_map(|labels| labels.get(&matcher.label));
            let fits = fits.filter(|value| matcher.operator != "=" || **value == matcher.value);
            assert!(fits.count() > 0, "{of}: {metric} has no such {matcher:?}");
        }
    }
    for label in promql::grouped_by(query) {
        let has = |labels: &BTreeMap<String, String>| labels.contains_key(&label);
        let asked = selectors(query).unwrap_or_default();
        let grouped = asked.iter().any(|one| series[&one.metric].iter().any(has));
        assert!(grouped, "{of}: nothing has the label {label}");
    }
}

#[test]
fn panels_and_alerts_ask_for_metrics_that_there_are() {
    let collector = Collector::start();
    let series = series(&collector.get("/metrics").text);
    assert!(series.len() > 15, "{series:?}");

    let dashboard: Value = serde_json::from_str(&text("grafana-dashboard.json")).expect("JSON");
    let panels = queries(&dashboard);
    assert!(panels.len() > 10, "{panels:?}");
    for (title, query) in panels {
        assert_answered(&title, &query, &series);
    }
    let variables = dashboard["templating"]["list"].as_array().expect("a list");
    let variables = variables
        .iter()
        .filter(|variable| variable["type"] == "query");
    assert!(
        variables.clone().count() > 1,
        "a job and an instance are chosen"
    );
    for variable in variables {
        let query = variable["query"]["query"].as_str().expect("a query");
        let asked = query.strip_prefix("label_values(").expect(query);
        let (asked, label) = asked.rsplit_once(',').expect(query);
        assert_answered(query, asked, &series);
        assert!(
            ADDED_LABELS.contains(&label.trim_matches([' ', ')'])),
            "{query}"
        );
    }
    let alerts = text("alerts.yml");
    let mut names = BTreeSet::new();
    for rule in rules(&yaml(&alerts)) {
        let name = rule["alert"].as_str().expect("a name");
        assert!(names.insert(name.to_owned()), "{name} is there twice");
        let query = rule["expr"].as_str().expect("a query");
        assert_answered(name, query, &series);
        let summary = rule["annotations"]["summary"].as_str();
        assert!(summary.is_some_and(|text| text.len() > 10), "{name}");
        for (key, value) in rule.as_mapping().expect("a rule") {
            match key.as_str().expect("a key") {
                "alert" | "expr" | "annotations" => {}
                "for" => assert!(is_duration(value.as_str().expect("a duration")), "{name}"),
                other => panic!("{name}: {other} is not a part of a rule"),
            }
        }
    }
    assert!(names.len() > 4, "{names:?}");
}

/// The one document of a file.
fn yaml(text: &str) -> Yaml<'_> {
    let mut documents = Yaml::load_from_str(text).expect("YAML");
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

/// The alerts of all groups.
fn rules<'a>(alerts: &'a Yaml<'_>) -> impl Iterator<Item = &'a Yaml<'a>> {
    let groups = alerts["groups"].as_sequence().expect("groups").iter();
    groups.flat_map(|group| {
        assert!(group["name"].as_str().is_some(), "a group has a name");
        group["rules"].as_sequence().expect("rules")
    })
}

/// As Prometheus writes one: `15m`.
fn is_duration(text: &str) -> bool {
    let number = text.trim_end_matches(['s', 'm', 'h', 'd']);
    number.len() + 1 == text.len() && number.parse::<u32>().is_ok()
}

#[test]
fn alerts_ask_for_what_prometheus_is_told_to_fetch() {
    let prometheus = text("prometheus.yml");
    let prometheus = yaml(&prometheus);
    for file in prometheus["rule_files"].as_sequence().expect("a list") {
        let file = file.as_str().expect("a name");
        assert!(folder().join(file).is_file(), "{file}");
    }
    let mut jobs = BTreeSet::new();
    for scraped in prometheus["scrape_configs"].as_sequence().expect("a list") {
        jobs.insert(scraped["job_name"].as_str().expect("a name").to_owned());
        for targets in scraped["static_configs"].as_sequence().expect("a list") {
            let targets = targets["targets"].as_sequence().expect("a list");
            assert!(targets.iter().all(|one| one.as_str().is_some()));
        }
        // A collector has its numbers where Prometheus looks if it is told nothing else.
        assert!(scraped.as_mapping_get("metrics_path").is_none());
    }
    let alerts = text("alerts.yml");
    let alerts = yaml(&alerts);
    let dashboard: Value = serde_json::from_str(&text("grafana-dashboard.json")).expect("JSON");
    let panels = queries(&dashboard).into_iter().map(|(_, query)| query);
    let alerts = rules(&alerts).map(|rule| rule["expr"].as_str().expect("a query").to_owned());
    let mut named = 0;
    for query in panels.chain(alerts) {
        let asked = selectors(&query).expect("a query");
        for matcher in asked.into_iter().flat_map(|one| one.matchers) {
            if matcher.label == "job" && matcher.operator == "=" && !matcher.value.starts_with('$')
            {
                assert!(jobs.contains(&matcher.value), "{query} is of another job");
                named += 1;
            }
        }
    }
    assert!(named > 0, "whether a collector is up is asked by its job");
}

#[test]
fn panels_have_places_of_their_own_and_say_what_they_show() {
    let dashboard: Value = serde_json::from_str(&text("grafana-dashboard.json")).expect("JSON");
    let mut places: BTreeSet<(u64, u64)> = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64()), "{title}: its id is taken");
        let at = |name: &str| panel["gridPos"][name].as_u64().expect("a place");
        for x in at("x")..at("x") + at("w") {
            assert!(x < 24, "{title} is beside the page");
            for y in at("y")..at("y") + at("h") {
                assert!(places.insert((x, y)), "{title} lies over another");
            }
        }
        if panel["type"] != "row" {
            assert!(
                panel["description"]
                    .as_str()
                    .is_some_and(|text| text.len() > 10),
                "{title}"
            );
        }
    }
}

#[test]
fn units_and_images_set_variables_that_are_read() {
    let help = run(&["serve", "--help"]).stdout;
    for file in ["appweight.service", "Containerfile"] {
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
    fn by_the_unit() -> Self {
        let unit = text("appweight.service");
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
        let file = text("Containerfile").replace("\\\n", " ");
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

    /// Starts it on this machine, with its files below `folder`.
    fn here(&self, folder: &Path) -> Child {
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
            let value = match name.as_str() {
                "APPWEIGHT_LISTEN" => value.rsplit_once(':').expect("a port").0.to_owned() + ":0",
                "APPWEIGHT_TOKENS_FILE" => tokens.display().to_string(),
                _ => value,
            };
            command.env(name, value);
        }
        Child::start(command).expect("it starts")
    }
}

fn pair(set: &str) -> (String, String) {
    let (name, value) = set.split_once('=').expect("NAME=VALUE");
    (name.to_owned(), value.to_owned())
}

#[test]
fn what_units_and_images_start_starts_and_asks_for_tokens() {
    for started in [Started::by_the_unit(), Started::by_the_image()] {
        let folder = tempfile::tempdir().unwrap();
        let child = started.here(folder.path());
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

#[test]
fn an_option_that_there_is_not_would_be_seen() {
    let mut unit = Started::by_the_unit();
    let words: Vec<&str> = unit.words.iter().map(String::as_str).collect();
    assert_eq!(run(&[words.as_slice(), &["--help"]].concat()).code, 0);
    unit.words.push("--liste".into());
    let words: Vec<&str> = unit.words.iter().map(String::as_str).collect();
    assert_eq!(run(&[words.as_slice(), &["--help"]].concat()).code, 2);
}

/// Where there is a systemd to ask; elsewhere nothing is said about the unit.
#[test]
fn systemd_takes_the_unit() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        left_out("there is no systemd-analyze here");
        return;
    }
    let unit = text("appweight.service");
    let installed = "/usr/local/bin/appweight";
    assert!(unit.contains(installed));
    let here = program("appweight")
        .get_program()
        .to_string_lossy()
        .into_owned();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("appweight.service");
    let verify = |unit: &str| {
        fs::write(&path, unit).unwrap();
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
    assert_eq!(verify(&unit), (true, String::new()));
    let (_, said) = verify(&unit.replace("DynamicUser=", "DynamicUsr="));
    assert!(
        said.contains("DynamicUsr"),
        "it finds nothing wrong: {said}"
    );
}
