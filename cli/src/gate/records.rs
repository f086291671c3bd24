//! Files of records: what agents send, kept in files instead of sent to a collector.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use appweight::evidence::PlacedCell;
use appweight_wire::{Batch, Format, decode_batch, host_group};
use flate2::read::MultiGzDecoder;

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Side {
    pub(crate) service: String,
    pub(crate) deploy: String,
    pub(crate) cells: Vec<PlacedCell>,
}

/// Reads the cells of one deploy. Which one has to be said if there are several; so has the service.
pub(crate) fn read(
    path: &Path,
    deploy: Option<&str>,
    service: Option<&str>,
) -> anyhow::Result<Side> {
    let shown = path.display();
    let batches = batches(path).with_context(|| format!("{shown}"))?;
    let origins = batches.iter().map(|batch| &batch.origin);
    let services: BTreeSet<&str> = origins
        .clone()
        .map(|origin| origin.service.as_str())
        .filter(|name| service.is_none_or(|service| service == *name))
        .collect();
    let service = one(services, service, "service", "--service")
        .with_context(|| format!("{shown}"))?
        .to_owned();
    let deploys: BTreeSet<&str> = origins
        .filter(|origin| origin.service == service)
        .map(|origin| origin.deploy.as_str())
        .filter(|name| deploy.is_none_or(|deploy| deploy == *name))
        .collect();
    let deploy = one(deploys, deploy, "deploy", "--base or --head")
        .with_context(|| format!("{shown}"))?
        .to_owned();
    let mut seen = BTreeSet::new();
    let mut cells = Vec::new();
    for mut batch in batches {
        let origin = batch.origin.clone();
        // A batch that was sent again counts once.
        let is_meant = origin.service == service && origin.deploy == deploy;
        if !is_meant || !seen.insert(batch.id()) {
            continue;
        }
        appweight::cells::fill_in(&mut batch);
        cells.extend(batch.cells.into_iter().map(|cell| PlacedCell {
            deploy: deploy.clone(),
            cluster: origin.cluster.clone(),
            host_group: host_group(&origin.host),
            cell,
        }));
    }
    Ok(Side {
        service,
        deploy,
        cells,
    })
}

fn one<'a>(
    names: BTreeSet<&'a str>,
    asked: Option<&str>,
    what: &str,
    option: &str,
) -> anyhow::Result<&'a str> {
    let mut rest = names.iter().copied();
    match (rest.next(), rest.next()) {
        (Some(name), None) => Ok(name),
        (None, _) => match asked {
            Some(asked) => bail!("it has no batch of {what} {asked}"),
            None => bail!("it has no batches"),
        },
        (Some(_), Some(_)) => {
            let names: Vec<&str> = names.into_iter().collect();
            bail!(
                "it has batches of several {what}s ({}): say which by {option}",
                names.join(", ")
            )
        }
    }
}

/// Batches as JSON, one after another or in an array, or one as MessagePack.
fn batches(path: &Path) -> anyhow::Result<Vec<Batch>> {
    let file = std::fs::File::open(path).context("it cannot be read")?;
    let mut bytes = Vec::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        MultiGzDecoder::new(file).read_to_end(&mut bytes)
    } else {
        (&file).read_to_end(&mut bytes)
    }
    .context("it cannot be read")?;
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        None => Ok(Vec::new()),
        Some(b'{' | b'[') => json_batches(&bytes),
        Some(_) => {
            let batch = decode_batch(&bytes, Format::MessagePack).map_err(|error| {
                anyhow!("it is neither batches as JSON nor one as MessagePack: {error}")
            })?;
            Ok(vec![batch])
        }
    }
}

fn json_batches(bytes: &[u8]) -> anyhow::Result<Vec<Batch>> {
    let mut batches = Vec::new();
    let values = serde_json::Deserializer::from_slice(bytes).into_iter::<serde_json::Value>();
    for value in values {
        let value = value.context("it is no JSON")?;
        let several = match value {
            serde_json::Value::Array(several) => several,
            one => vec![one],
        };
        for value in several {
            let number = batches.len() + 1;
            let batch = decode_batch(value.to_string().as_bytes(), Format::Json)
                .with_context(|| format!("batch {number}"))?;
            batches.push(batch);
        }
    }
    Ok(batches)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    /// A batch of request records whose CPU times lie about a mean.
    pub(crate) fn batch(deploy: &str, host: usize, cpu_ns: &[(&str, u64)]) -> Value {
        let requests: Vec<Value> = cpu_ns
            .iter()
            .flat_map(|(endpoint, mean)| (0..400_u64).map(move |at| (endpoint, mean, at)))
            .map(|(endpoint, mean, at)| {
                json!({
                    "start_us": 1_790_000_000_000_000_u64 + at * 150_000,
                    "endpoint": endpoint, "method": "GET", "status": 200,
                    "weight": 1, "age": "warm", "wall_ns": 1_000_000,
                    "cpu_ns": mean * (90 + (at * 7 + host as u64) % 21) / 100,
                })
            })
            .collect();
        let source = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{deploy}{host}").as_bytes());
        json!({
            "version": 1, "source": source.to_string(), "sequence": 0, "content": "requests",
            "origin": {"service": "photos", "deploy": deploy, "host": format!("web-{host}")},
            "requests": requests,
        })
    }

    fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn lines_an_array_messagepack_and_gzip_are_read_alike() {
        let batches = [0, 1].map(|host| batch("old", host, &[("/feed", 500_000)]));
        let lines = format!("{}\n{}\n", batches[0], batches[1]);
        let (_folder, path) = written("base.ndjson", lines.as_bytes());
        let side = read(&path, None, None).unwrap();
        assert_eq!(
            (side.service.as_str(), side.deploy.as_str()),
            ("photos", "old")
        );
        assert_eq!(side.cells.iter().map(|cell| cell.cell.n).sum::<u64>(), 800);
        let array = json!(batches).to_string();
        let (_folder, path) = written("base.json", array.as_bytes());
        assert_eq!(read(&path, None, None).unwrap(), side);
        let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(array.as_bytes()).unwrap();
        let (_folder, path) = written("base.json.gz", &gzip.finish().unwrap());
        assert_eq!(read(&path, None, None).unwrap(), side);
        let one = decode_batch(batches[0].to_string().as_bytes(), Format::Json).unwrap();
        let packed = appweight_wire::encode(&one, Format::MessagePack);
        let (_folder, path) = written("base.msgpack", &packed);
        let half = read(&path, Some("old"), Some("photos")).unwrap();
        assert_eq!(half.cells.iter().map(|cell| cell.cell.n).sum::<u64>(), 400);
    }

    #[test]
    fn a_batch_that_is_there_twice_counts_once() {
        let batch = batch("old", 0, &[("/feed", 500_000)]);
        let (_folder, path) = written("base.json", format!("{batch}{batch}").as_bytes());
        let side = read(&path, None, None).unwrap();
        assert_eq!(side.cells.iter().map(|cell| cell.cell.n).sum::<u64>(), 400);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_file() {
        let told = |bytes: &[u8], deploy: Option<&str>| {
            let (_folder, path) = written("base.json", bytes);
            let error = format!("{:#}", read(&path, deploy, None).unwrap_err());
            assert!(error.contains("base.json"), "{error}");
            error
        };
        let two = ["a", "b"].map(|deploy| batch(deploy, 0, &[("/feed", 500_000)]));
        let two = json!(two).to_string();
        assert!(told(two.as_bytes(), None).contains("several deploys (a, b)"));
        assert!(told(two.as_bytes(), Some("c")).contains("no batch of deploy c"));
        assert!(told(b"", None).contains("no batches"));
        assert!(told(b"{\"version\": 1}", None).contains("batch 1"));
        assert!(told(b"{\"version\": ", None).contains("no JSON"));
        assert!(told(b"\x93\x01", None).contains("neither"));
    }
}
