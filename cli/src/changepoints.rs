//! `appweight changepoints`: where a series changed for good.

use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::Context;
use appweight::changepoints::changepoints;
use serde::{Deserialize, Serialize};

use crate::logging::complain;

#[derive(Debug, Deserialize)]
struct Question {
    series: Vec<Option<f64>>,
}

#[derive(Debug, Serialize)]
struct Answer {
    changepoints: Vec<usize>,
    details: Vec<Detail>,
}

#[derive(Debug, Serialize)]
struct Detail {
    index: usize,
    before: f64,
    after: f64,
    confidence: f64,
}

/// Reads the series, and writes the answer as one line.
pub(crate) fn run(input: &mut dyn Read, out: &mut dyn Write) -> ExitCode {
    match answer(input, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(2)
        }
    }
}

fn answer(input: &mut dyn Read, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut text = String::new();
    input
        .read_to_string(&mut text)
        .context("standard input cannot be read as text")?;
    let question: Question = serde_json::from_str(&text).context(
        "standard input is no series: one JSON object is expected, as {\"series\": [1.5, null, 2]}",
    )?;
    let details: Vec<Detail> = changepoints(&question.series)
        .into_iter()
        .map(|change| Detail {
            index: change.index,
            before: change.before,
            after: change.after,
            confidence: change.confidence,
        })
        .collect();
    let answer = Answer {
        changepoints: details.iter().map(|detail| detail.index).collect(),
        details,
    };
    serde_json::to_writer(&mut *out, &answer)?;
    writeln!(out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_to(question: &str) -> Result<String, String> {
        let mut out = Vec::new();
        answer(&mut question.as_bytes(), &mut out).map_err(|error| format!("{error:#}"))?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_step_is_told_with_its_sides_and_gaps_keep_their_places() {
        let mut series = vec!["1", "2", "1", "null", "1", "2", "1", "2"];
        series.extend(["11", "12", "11", "12", "11", "12", "11", "12"]);
        let question = format!("{{\"series\": [{}], \"unknown\": 1}}", series.join(", "));
        let told: serde_json::Value = serde_json::from_str(&answer_to(&question).unwrap()).unwrap();
        assert_eq!(told["changepoints"], serde_json::json!([8]));
        assert_eq!(told["details"][0]["after"], 11.5);
    }

    #[test]
    fn what_is_no_series_is_said_to_be_none() {
        for question in ["", "[1, 2]", "{\"series\": [\"a\"]}", "{}"] {
            let error = answer_to(question).unwrap_err();
            assert!(error.starts_with("standard input is no series"), "{error}");
        }
        assert_eq!(
            answer_to("{\"series\": []}").unwrap(),
            "{\"changepoints\":[],\"details\":[]}\n"
        );
    }
}
