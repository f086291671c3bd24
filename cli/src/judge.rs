//! `appweight judge`: cells as lines of JSON in, verdicts as lines of JSON out.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use appweight::detect::{CellLine, DeployLine, Detector, VerdictLine};
use flate2::read::MultiGzDecoder;

#[derive(Debug, clap::Args)]
pub(crate) struct Judge {
    /// The cells: one JSON object per line, deploys first, in order of time; compressed if the name ends
    /// in .gz; - for standard input
    #[arg(env = "APPWEIGHT_JUDGE_CELLS", value_name = "FILE")]
    pub(crate) cells: PathBuf,
    /// Tell beside each verdict what it rests on
    #[arg(long, env = "APPWEIGHT_JUDGE_EXPLAIN")]
    pub(crate) explain: bool,
}

/// Judges a file and writes each verdict as soon as it is sure.
pub(crate) fn run(options: &Judge, out: &mut dyn Write) -> anyhow::Result<()> {
    let path = options.cells.as_path();
    let mut lines = open(path)?;
    let mut detector = Detector::new();
    let mut text = String::new();
    let mut number = 0_u64;
    loop {
        text.clear();
        number += 1;
        let read = lines
            .read_line(&mut text)
            .with_context(|| format!("{} line {number}", path.display()))?;
        if read == 0 {
            break;
        }
        if text.trim().is_empty() {
            continue;
        }
        let told = take(&mut detector, &text)
            .with_context(|| format!("{} line {number}", path.display()))?;
        write(out, told, options.explain)?;
    }
    write(out, detector.finish(), options.explain)
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    const BUFFER_BYTES: usize = 1 << 20;
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::with_capacity(
            BUFFER_BYTES,
            std::io::stdin().lock(),
        )));
    }
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let bytes: Box<dyn Read> = if path.extension().is_some_and(|extension| extension == "gz") {
        Box::new(MultiGzDecoder::new(BufReader::new(file)))
    } else {
        Box::new(file)
    };
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, bytes)))
}

fn take(detector: &mut Detector, text: &str) -> anyhow::Result<Vec<VerdictLine>> {
    match serde_json::from_str::<CellLine<'_>>(text) {
        Ok(cell) => Ok(detector.add_cell(&cell)?),
        // A deploy has none of a cell's fields; what is neither is told as the cell that it should be.
        Err(error) => match serde_json::from_str::<DeployLine>(text) {
            Ok(deploy) => {
                detector.add_deploy(deploy);
                Ok(Vec::new())
            }
            Err(_) => Err(error.into()),
        },
    }
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
    use super::*;

    const DEPLOYS: &str = r#"{"deploy":"a","service":"photo","replaces":null,"start":0,"end":0}
{"deploy":"b","service":"photo","replaces":"a","start":90,"end":93,"who":"unknown fields are ignored"}
"#;

    fn cell(minute: i64, deploy: &str, host: usize, log: f64) -> String {
        let (n, sum) = (400.0, 400.0 * log.exp());
        format!(
            r#"{{"minute":{minute},"deploy":"{deploy}","endpoint":"/feed","host":"h{host}","cluster":"c","metric":"instructions","n":{n},"weight":{n},"sum":{sum},"sumsq":{},"sumlog":{},"sumsqlog":{},"min":1.0,"max":9.0,"hist":{{"0":400}}}}"#,
            sum * sum / n,
            n * log,
            n * (log * log + 0.01),
        )
    }

    fn judged(lines: &str, explain: bool) -> anyhow::Result<String> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("cells.ndjson");
        std::fs::write(&path, lines)?;
        let mut out = Vec::new();
        let options = Judge {
            cells: path,
            explain,
        };
        run(&options, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    fn day() -> String {
        let mut lines = DEPLOYS.to_owned();
        for minute in 1..140 {
            for host in 0..4 {
                let is_new = minute >= 90 + host as i64;
                // A fixed wave in place of noise, so that the figures are the same everywhere.
                let wave = 0.002 * f64::from((minute as i32 * 7 + host as i32 * 3) % 5 - 2);
                let log = 2.0 + wave + if is_new { 0.1 } else { 0.0 };
                lines += &cell(minute, if is_new { "b" } else { "a" }, host, log);
                lines.push('\n');
            }
        }
        lines
    }

    #[test]
    fn a_change_is_told_when_it_is_sure_and_again_at_the_end() {
        let told = judged(&day(), false).unwrap();
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
        assert!(judged(&day(), true).unwrap().contains("standard errors"));
    }

    #[test]
    fn a_cell_without_a_deploy_line_is_an_error_that_names_the_line() {
        let lines = format!("{DEPLOYS}{}\n", cell(1, "c", 0, 2.0));
        let error = judged(&lines, false).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("line 3") && text.contains("\"c\""), "{text}");
    }

    #[test]
    fn neither_deploy_nor_cell_is_an_error() {
        assert!(judged("{\"deploy\":1}\n", false).is_err());
    }
}
