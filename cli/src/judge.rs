//! `appweight judge`: cells as lines of JSON in, verdicts as lines of JSON out.

use std::io::Write;
use std::path::PathBuf;

use appweight::detect::{Detector, Settings, VerdictLine};

use crate::args::{MetricName, endpoint_change};
use crate::cell_lines::{Line, each_line};
use crate::services::Services;
use crate::units;

#[derive(Debug, clap::Args)]
pub(crate) struct Judge {
    /// The cells: one JSON object per line, deploys first, in order of time; compressed if the name ends
    /// in .gz; - for standard input
    #[arg(env = "APPWEIGHT_JUDGE_CELLS", value_name = "FILE")]
    pub(crate) cells: PathBuf,
    /// Tell beside each verdict what it rests on
    #[arg(long, env = "APPWEIGHT_JUDGE_EXPLAIN")]
    pub(crate) explain: bool,
    /// The metric to judge; by default that of the first cell
    #[arg(long, env = "APPWEIGHT_JUDGE_METRIC", value_name = "METRIC")]
    pub(crate) metric: Option<MetricName>,
    /// The smallest change that is worth a word: what lies within it is unchanged
    #[arg(long, env = "APPWEIGHT_MIN_CHANGE", default_value = "1%", value_parser = units::percentage, value_name = "PERCENT")]
    pub(crate) min_change: f64,
    /// The same for one endpoint, as /feed=0.5%; can be repeated
    #[arg(long, env = "APPWEIGHT_MIN_CHANGE_OF", value_parser = endpoint_change, value_delimiter = ',', value_name = "ENDPOINT=PERCENT")]
    pub(crate) min_change_of: Vec<(String, f64)>,
    /// The expected share of false ones among all that is called in a day
    #[arg(long, env = "APPWEIGHT_FALSE_DISCOVERIES", default_value = "20%", value_parser = units::share, value_name = "PERCENT")]
    pub(crate) false_discoveries: f64,
}

impl Judge {
    fn settings(&self) -> Settings {
        Settings {
            metric: self.metric.map(|metric| {
                let name = match metric {
                    MetricName::Instructions => "instructions",
                    MetricName::Cpu => "cpu_ns",
                };
                name.to_owned()
            }),
            min_change: self.min_change,
            min_change_of: self.min_change_of.iter().cloned().collect(),
            false_discovery_rate: self.false_discoveries,
        }
    }
}

/// Judges a file and writes each verdict as soon as it is sure.
pub(crate) fn run(options: &Judge, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut services = Services::default();
    each_line(&options.cells, |line| match line {
        Line::Deploy(deploy) => {
            let new = || Detector::with_settings(options.settings());
            services.of_deploy(&deploy, new)?.add_deploy(deploy);
            Ok(())
        }
        Line::Cell(cell) => {
            let detector = services.of_cell(&cell)?;
            write(out, detector.add_cell(&cell)?, options.explain)
        }
    })?;
    for (_, mut detector) in services.all() {
        write(out, detector.finish(), options.explain)?;
    }
    Ok(())
}

fn write(out: &mut dyn Write, told: Vec<VerdictLine>, explain: bool) -> anyhow::Result<()> {
    for mut verdict in told {
        if !explain {
            verdict.checks.clear();
        }
        serde_json::to_writer(&mut *out, &verdict)?;
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    const DEPLOYS: &str = r#"{"deploy":"a","service":"photo","replaces":null,"start":0,"end":0}
{"deploy":"b","service":"photo","replaces":"a","start":90,"end":93,"who":"unknown fields are ignored"}
"#;

    fn cell(minute: i64, deploy: &str, host: usize, log: f64, variance: f64) -> String {
        let (n, sum) = (400.0, 400.0 * log.exp());
        format!(
            r#"{{"minute":{minute},"deploy":"{deploy}","endpoint":"/feed","host":"h{host}","cluster":"c","metric":"instructions","n":{n},"weight":{n},"sum":{sum},"sumsq":{},"sumlog":{},"sumsqlog":{},"min":1.0,"max":9.0,"hist":{{"0":400}}}}"#,
            sum * sum / n,
            n * log,
            n * (log * log + variance),
        )
    }

    fn judged(lines: &str, words: &[&str]) -> anyhow::Result<String> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("cells.ndjson");
        std::fs::write(&path, lines)?;
        let file = path.to_str().context("a path that is no text")?;
        let words = [&["appweight", "judge", file], words].concat();
        let Command::Judge(options) = Args::try_parse_from(words)?.command else {
            anyhow::bail!("another command");
        };
        let mut out = Vec::new();
        run(&options, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    /// The last line of an endpoint.
    fn last(told: &str, endpoint: &str) -> serde_json::Value {
        let lines = told.lines().map(|line| serde_json::from_str(line).unwrap());
        let mut lines = lines.filter(|line: &serde_json::Value| line["endpoint"] == endpoint);
        lines.next_back().unwrap()
    }

    fn day(change: f64) -> String {
        day_of_requests(change, 0.01)
    }

    /// With that variance of a request's log cost.
    fn day_of_requests(change: f64, variance: f64) -> String {
        let mut lines = DEPLOYS.to_owned();
        for minute in 1..140 {
            for host in 0..4 {
                let is_new = minute >= 90 + host as i64;
                // A fixed wave in place of noise, so that the figures are the same everywhere.
                let wave = 0.002 * f64::from((minute as i32 * 7 + host as i32 * 3) % 5 - 2);
                let log = 2.0 + wave + if is_new { change } else { 0.0 };
                lines += &cell(minute, if is_new { "b" } else { "a" }, host, log, variance);
                lines.push('\n');
            }
        }
        lines
    }

    #[test]
    fn hosts_that_were_merged_into_one_are_judged_too() {
        let mut merged = day(0.1);
        for host in 0..4 {
            merged = merged.replace(&format!("\"h{host}\""), "\"*\"");
        }
        let told = judged(&merged, &[]).unwrap();
        assert_eq!(last(&told, "/feed")["verdict"], "regressed", "{told}");
    }

    #[test]
    fn hosts_of_two_clusters_may_have_one_name() {
        let mut apart = DEPLOYS.to_owned();
        for line in day(0.1).lines().skip(2) {
            for cluster in ["c", "d"] {
                apart += &line.replace("\"cluster\":\"c\"", &format!("\"cluster\":\"{cluster}\""));
                apart.push('\n');
            }
        }
        let mut distinct = String::new();
        for line in apart.lines() {
            let of_d = line.contains("\"cluster\":\"d\"");
            distinct += &if of_d {
                line.replace(":\"h", ":\"other-h")
            } else {
                line.to_owned()
            };
            distinct.push('\n');
        }
        assert_eq!(
            judged(&apart, &[]).unwrap(),
            judged(&distinct, &[]).unwrap()
        );
    }

    #[test]
    fn services_of_one_file_are_judged_apart() {
        let one = day(0.1);
        let other = day(-0.05)
            .replace("\"photo\"", "\"video\"")
            .replace("\"deploy\":\"a\"", "\"deploy\":\"v\"")
            .replace("\"replaces\":\"a\"", "\"replaces\":\"v\"")
            .replace("\"deploy\":\"b\"", "\"deploy\":\"w\"");
        let (mut one_lines, mut other_lines) = (one.lines(), other.lines());
        let mut both = String::new();
        while let (Some(first), Some(second)) = (one_lines.next(), other_lines.next()) {
            both += &format!("{first}\n{second}\n");
        }
        let sorted = |told: String| {
            let mut lines: Vec<String> = told.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let apart = judged(&one, &[]).unwrap() + &judged(&other, &[]).unwrap();
        assert_eq!(sorted(judged(&both, &[]).unwrap()), sorted(apart));
    }

    #[test]
    fn what_cannot_be_is_an_error_that_names_the_line() {
        let twice = format!("{DEPLOYS}{DEPLOYS}");
        let error = format!("{:#}", judged(&twice, &[]).unwrap_err());
        assert!(
            error.contains("line 3: deploy \"a\" has a line already"),
            "{error}"
        );
        let absurd = day(0.1).replacen("\"sumsqlog\":", "\"sumsqlog\":1e308,\"was\":", 1);
        let error = format!("{:#}", judged(&absurd, &[]).unwrap_err());
        assert!(
            error.contains("line 3: sum, sumlog and sumsqlog cannot"),
            "{error}"
        );
    }

    #[test]
    fn a_change_is_told_when_it_is_sure_and_again_at_the_end() {
        let told = judged(&day(0.1), &[]).unwrap();
        let feed: Vec<serde_json::Value> = told
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|line: &serde_json::Value| line["endpoint"] == "/feed")
            .collect();
        assert_eq!(feed.len(), 2, "{told}");
        for line in &feed {
            assert_eq!(line["verdict"], "regressed");
            let effect = line["effect"].as_f64().unwrap();
            assert!((effect - 0.1_f64.exp_m1()).abs() < 0.01, "{line}");
        }
        assert!(feed[0]["at_minute"].as_i64() < feed[1]["at_minute"].as_i64());
        assert!(
            judged(&day(0.1), &["--explain"])
                .unwrap()
                .contains("standard errors")
        );
    }

    #[test]
    fn the_ladder_of_checks() {
        let told = judged(&day(0.1), &["--explain"]).unwrap();
        let line = last(&told, "/feed");
        let checks = line["checks"].as_array().unwrap().iter();
        let checks: Vec<&str> = checks.filter_map(|check| check.as_str()).collect();
        insta::assert_snapshot!(checks.join("\n"));
    }

    #[test]
    fn what_is_called_says_what_it_costs_the_service() {
        let cost = |lines: &str| last(&judged(lines, &[]).unwrap(), "/feed")["cost"].clone();
        // All hosts have it by the end, and it is the only endpoint.
        let share = 1.0 - (-0.1_f64).exp();
        let is_near = |value: &serde_json::Value, wanted: f64| {
            let value = value.as_f64().unwrap();
            assert!((value / wanted - 1.0).abs() < 0.05, "{value} {wanted}");
        };
        let instructions = cost(&day(0.1));
        is_near(&instructions["share"], share);
        assert!(instructions["cores"].is_null(), "{instructions}");
        let cpu = cost(&day(0.1).replace("instructions", "cpu_ns"));
        is_near(&cpu["share"], share);
        let of_cores = 4.0 * 400.0 * 2.1_f64.exp() / 60e9;
        is_near(&cpu["of_cores"], of_cores);
        is_near(&cpu["cores"], share * of_cores);
        assert!(cost(&day(0.0)).is_null());
    }

    #[test]
    fn a_cell_without_a_deploy_line_is_an_error_that_names_the_line() {
        let lines = format!("{DEPLOYS}{}\n", cell(1, "c", 0, 2.0, 0.01));
        let error = judged(&lines, &[]).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("line 3") && text.contains("\"c\""), "{text}");
    }

    #[test]
    fn what_is_worth_a_word_is_a_setting_of_the_endpoint() {
        let verdict = |words: &[&str]| last(&judged(&day(0.0), words).unwrap(), "/feed");
        assert_eq!(verdict(&[])["verdict"], "unchanged");
        let narrow = verdict(&["--min-change-of", "/feed=0.01%"]);
        assert_eq!(narrow["verdict"], "undecided", "{narrow}");
        let other = verdict(&["--min-change", "0.01%", "--min-change-of", "/feed=1%"]);
        assert_eq!(other["verdict"], "unchanged", "{other}");
    }

    #[test]
    fn undecided_says_how_many_more_requests_would_decide() {
        let undecided = judged(&day_of_requests(0.0, 4.0), &[]).unwrap();
        let line = last(&undecided, "/feed");
        assert_eq!(line["verdict"], "undecided", "{line}");
        let more = line["more_requests"].as_u64();
        assert!(more.is_some_and(|more| more > 1_000), "{line}");
        // What restarts change by themselves is more than that.
        let never = judged(&day(0.0), &["--min-change", "0.01%", "--explain"]).unwrap();
        let line = last(&never, "/feed");
        assert_eq!(line["verdict"], "undecided", "{line}");
        assert!(line["more_requests"].is_null(), "{line}");
        assert!(
            line["checks"].to_string().contains("no number of requests"),
            "{line}"
        );
    }

    #[test]
    fn the_metric_is_a_choice() {
        let mixed: String = day(0.1)
            .lines()
            .flat_map(|line| {
                let cpu = line.replace("instructions", "cpu_ns");
                let cells = if cpu == line {
                    vec![line.to_owned()]
                } else {
                    vec![line.to_owned(), cpu]
                };
                cells.into_iter().map(|line| line + "\n")
            })
            .collect();
        let alone = judged(&day(0.1), &[]).unwrap();
        assert_eq!(judged(&mixed, &[]).unwrap(), alone);
        let of_cpu = judged(&day(0.1).replace("instructions", "cpu_ns"), &[]).unwrap();
        assert_eq!(judged(&mixed, &["--metric", "cpu"]).unwrap(), of_cpu);
        let silent = judged(&day(0.1), &["--metric", "cpu", "--explain"]).unwrap();
        let line: serde_json::Value = serde_json::from_str(silent.trim()).unwrap();
        assert_eq!(
            (&line["deploy"], &line["verdict"]),
            (&"b".into(), &"no_data".into())
        );
        assert!(silent.contains("no cell of cpu_ns"), "{silent}");
    }

    #[test]
    fn neither_deploy_nor_cell_is_an_error_that_names_what_is_wrong() {
        let why = |line: &str| format!("{:#}", judged(line, &[]).unwrap_err());
        let broken = [
            ("{\"deploy\":1}\n", "expected a string"),
            (
                r#"{"deploy":"b","service":"photo","replaces":"a","end":93}"#,
                "missing field `start`",
            ),
            (
                r#"{"deploy":"b","service":"photo","start":"soon","end":93}"#,
                "expected i64",
            ),
        ];
        for (line, wrong) in broken {
            let why = why(line);
            assert!(
                why.contains("line 1: a line of a deploy: ") && why.contains(wrong),
                "{why}"
            );
        }
        let cell = cell(1, "b", 0, 2.0, 0.01).replace("\"endpoint\"", "\"url\"");
        let why = why(&cell);
        assert!(why.contains("missing field `endpoint`"), "{why}");
    }

    #[test]
    fn every_silence_is_explained() {
        let more = [
            r#"{"deploy":"never","service":"photo","replaces":"b","start":100,"end":101}"#,
            r#"{"deploy":"later","service":"photo","replaces":"b","start":900,"end":901}"#,
            r#"{"deploy":"orphan","service":"photo","replaces":"unknown","start":130,"end":131}"#,
        ];
        let lines = day(0.1).replacen(DEPLOYS, &format!("{DEPLOYS}{}\n", more.join("\n")), 1)
            + &cell(139, "orphan", 0, 2.0, 0.01);
        let told = judged(&lines, &["--explain"]).unwrap();
        for (deploy, why, at) in [
            (
                "never",
                "no cell of instructions is of a request that it served",
                139,
            ),
            (
                "later",
                "the cells end in minute 139, before its roll-out begins",
                900,
            ),
            (
                "orphan",
                "which it replaces, has no line of its service above",
                139,
            ),
        ] {
            let lines = told.lines().map(|line| serde_json::from_str(line).unwrap());
            let lines: Vec<serde_json::Value> = lines
                .filter(|line: &serde_json::Value| line["deploy"] == deploy)
                .collect();
            assert_eq!(lines.len(), 1, "{told}");
            assert_eq!(
                (&lines[0]["verdict"], &lines[0]["at_minute"]),
                (&"no_data".into(), &at.into())
            );
            assert!(lines[0]["checks"].to_string().contains(why), "{}", lines[0]);
        }
    }

    #[test]
    fn an_endpoint_that_is_new_has_no_data() {
        let fresh: String = day(0.1)
            .lines()
            .flat_map(|line| {
                let is_new = line.contains("\"deploy\":\"b\",\"endpoint\"");
                let new = is_new.then(|| line.replace("/feed", "/new"));
                [Some(line.to_owned()), new]
            })
            .flatten()
            .map(|line| line + "\n")
            .collect();
        let line = last(&judged(&fresh, &["--explain"]).unwrap(), "/new");
        assert_eq!(
            (&line["verdict"], &line["effect"]),
            (&"no_data".into(), &serde_json::Value::Null)
        );
        assert!(
            line["checks"]
                .to_string()
                .contains("nothing to compare with"),
            "{line}"
        );
    }
}
