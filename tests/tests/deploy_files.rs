//! What Prometheus and Grafana are given in `deploy/` fits the program: panels and alerts ask for metrics that there are.

#[cfg(test)]
mod promql;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use appweight_tests::Collector;
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
