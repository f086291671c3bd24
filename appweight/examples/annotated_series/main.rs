//! Holds `changepoints` against what people saw in annotated series: `cargo run --release -p appweight --example annotated_series
//! FOLDER`.
//!
//! The folder has the layout of the Turing Change Point Dataset (van den Burg and Williams 2020): NAME.json with the values of
//! each series, and annotations.json with the change points that each annotator saw. The series are under
//! licences of their own and not part of this repository.

mod metrics;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use appweight::changepoints::changepoints;
use serde::Deserialize;

use metrics::{Annotation, cover, f1};

#[derive(Debug, Deserialize)]
struct Series {
    n_obs: usize,
    series: Vec<Dimension>,
}

#[derive(Debug, Deserialize)]
struct Dimension {
    raw: Vec<Option<f64>>,
}

/// F1 and cover of what is found, and of finding nothing at all: the floor.
type Row = [f64; 4];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1);
    let folder = PathBuf::from(folder.ok_or("usage: annotated_series FOLDER")?);
    let text = fs::read_to_string(folder.join("annotations.json"))?;
    let annotations: BTreeMap<String, BTreeMap<String, Annotation>> = serde_json::from_str(&text)?;
    let out = &mut std::io::stdout().lock();
    writeln!(
        out,
        "{:<20} {:>7} {:>7} {:>10} {:>10}  found",
        "", "F1", "cover", "floor F1", "cover"
    )?;
    let mut rows: Vec<Row> = Vec::new();
    for (name, annotators) in annotations {
        let path = folder.join(format!("{name}.json"));
        if !path.exists() {
            continue;
        }
        let series: Series = serde_json::from_str(&fs::read_to_string(path)?)?;
        let [dimension] = series.series.as_slice() else {
            continue;
        };
        let annotators: Vec<Annotation> = annotators.into_values().collect();
        let changes = changepoints(&dimension.raw).into_iter();
        let found: BTreeSet<usize> = changes.map(|change| change.index).collect();
        let nothing = BTreeSet::new();
        let row = [
            f1(&annotators, &found),
            cover(&annotators, &found, series.n_obs),
            f1(&annotators, &nothing),
            cover(&annotators, &nothing, series.n_obs),
        ];
        print_row(out, &name, row, &format!("{found:?}"))?;
        rows.push(row);
    }
    let name = format!("mean of {}", rows.len());
    print_row(out, &name, mean(rows.iter()), "")?;
    for (half, at) in [("1st, 3rd, 5th …", 0), ("2nd, 4th, 6th …", 1)] {
        print_row(out, half, mean(rows.iter().skip(at).step_by(2)), "")?;
    }
    Ok(())
}

fn mean<'a>(rows: impl Iterator<Item = &'a Row> + Clone) -> Row {
    let count = rows.clone().count() as f64;
    std::array::from_fn(|of| rows.clone().map(|row| row[of]).sum::<f64>() / count)
}

fn print_row(
    out: &mut dyn Write,
    name: &str,
    [f1, cover, floor_f1, floor_cover]: Row,
    found: &str,
) -> std::io::Result<()> {
    writeln!(
        out,
        "{name:<20} {f1:>7.3} {cover:>7.3} {floor_f1:>10.3} {floor_cover:>10.3}  {found}"
    )
}
