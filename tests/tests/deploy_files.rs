//! What stands in `deploy/` fits the program: panels and alerts ask for metrics that there are, units and
//! images set variables that are read.

#[cfg(test)]
mod promql;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use appweight_tests::{Collector, left_out, program, run};
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
    let alerts = text("alerts.yml");
    let alerts: Vec<&str> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .collect();
    assert!(alerts.len() > 4, "{alerts:?}");
    for query in alerts {
        assert_answered("an alert", query, &series);
    }
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
