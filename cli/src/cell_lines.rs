//! Files of deploys and cells as lines of JSON.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use appweight::detect::{CellLine, DeployLine};
use flate2::read::MultiGzDecoder;

/// A line of such a file.
pub(crate) enum Line<'a> {
    Deploy(DeployLine),
    Cell(CellLine<'a>),
}

/// Gives each line of a file, compressed if its name ends in .gz, or of standard input (`-`) to `take`; an error names the line.
pub(crate) fn each_line(
    path: &Path,
    mut take: impl FnMut(Line<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut lines = open(path)?;
    let mut text = String::new();
    let mut number = 0_u64;
    loop {
        text.clear();
        number += 1;
        let at = || format!("{} line {number}", path.display());
        if lines.read_line(&mut text).with_context(at)? == 0 {
            return Ok(());
        }
        if text.trim().is_empty() {
            continue;
        }
        parsed(&text).and_then(&mut take).with_context(at)?;
    }
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

fn parsed(text: &str) -> anyhow::Result<Line<'_>> {
    match serde_json::from_str::<CellLine<'_>>(text) {
        Ok(cell) => Ok(Line::Cell(cell)),
        Err(of_cell) => match serde_json::from_str::<DeployLine>(text) {
            Ok(deploy) => Ok(Line::Deploy(deploy)),
            Err(of_deploy) => Err(if is_meant_for_a_deploy(text) {
                anyhow::Error::from(of_deploy).context("a line of a deploy")
            } else {
                of_cell.into()
            }),
        },
    }
}

/// Of a line that is neither: a cell has none of these fields, and a deploy no minute.
fn is_meant_for_a_deploy(text: &str) -> bool {
    let fields = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
    fields.is_ok_and(|fields| {
        let has = |name: &&str| fields.contains_key(*name);
        !fields.contains_key("minute")
            && ["deploy", "service", "replaces", "start", "end"]
                .iter()
                .any(has)
    })
}
