//! What one request record adds to a batch as it is shipped (MessagePack, zstd level 1), from
//! batches that an agent sent: `record_bytes FILE...`, each the body of a `PUT`.
//!
//! Facts that the captured records lack (instructions where the machine cannot count them,
//! allocations, flags) are made up from the CPU time for the lines that say "every field set". Those of one in N have
//! what is read at a request's start as well, unlike the costliest.

use std::io::Write;

use appweight_wire::{
    Batch, Flag, Format, InstructionSource, RequestRecord, decode_batch, encode_packed,
};

const BODY_LIMIT: usize = 8 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout();
    let mut base: Option<Batch> = None;
    let mut shipped_batches = Vec::new();
    let mut requests: Vec<RequestRecord> = Vec::new();
    for path in std::env::args_os().skip(1) {
        let body = zstd::bulk::decompress(&std::fs::read(path)?, BODY_LIMIT)?;
        let mut batch = decode_batch(&body, Format::MessagePack)?;
        shipped_batches.push(batch.clone());
        requests.append(&mut batch.requests);
        if base
            .as_ref()
            .is_none_or(|base| base.cells.len() < batch.cells.len())
        {
            base = Some(batch);
        }
    }
    let base = base.ok_or("no batch is given")?;
    let all = requests.len();
    let have = |name: &str, has: fn(&RequestRecord) -> bool| {
        format!(
            "{name} {}/{all}",
            requests.iter().filter(|request| has(request)).count()
        )
    };
    writeln!(
        out,
        "as captured: {}",
        [
            have("instructions", |request| request.instructions.is_some()),
            have("cpu", |request| request.cpu_ns.is_some()),
            have("RSS", |request| request.rss_start_bytes.is_some()
                && request.rss_end_bytes.is_some()),
            have("allocations", |request| request.allocations.is_some()),
            have("downstream", |request| !request.downstream.is_empty()),
            have("flags", |request| !request.flags.is_empty()),
        ]
        .join(", ")
    )?;
    // Each batch as the agent made it: what its records add to it, over all batches.
    for (what, make_up, is_meant) in [
        ("as captured", false, any as fn(&RequestRecord) -> bool),
        ("every field set", true, any),
        ("those of one in N, every field set", true, |request| {
            request.weight > 0
        }),
    ] {
        let (mut bytes, mut records, mut batches) = (0_i64, 0_i64, 0_i64);
        for batch in shipped_batches
            .iter()
            .filter(|batch| !batch.requests.is_empty())
        {
            let mut with = batch.clone();
            with.requests.retain(is_meant);
            if make_up {
                with.requests.iter_mut().for_each(fill);
            }
            let without = Batch {
                requests: Vec::new(),
                ..batch.clone()
            };
            bytes += shipped(&with)? - shipped(&without)?;
            records += with.requests.len() as i64;
            batches += 1;
        }
        writeln!(
            out,
            "batches as sent, {what}: {batches} of {:.1} records, {:.1} B each",
            records as f64 / batches as f64,
            bytes as f64 / records as f64
        )?;
    }
    let mut filled = requests.clone();
    filled.iter_mut().for_each(fill);
    let alone = Batch {
        cells: Vec::new(),
        ..base.clone()
    };
    for (what, requests, base) in [
        ("as captured, beside cells", &requests, &base),
        ("every field set, beside cells", &filled, &base),
        ("every field set, without cells", &filled, &alone),
    ] {
        for size in [10, 20, 50, 100, 200, 500, 1_000] {
            if let Some(requests) = requests.get(..size) {
                let bytes = bytes_each(base, requests)?;
                writeln!(out, "{what}: {size} records of {bytes:.1} B each")?;
            }
        }
    }
    Ok(())
}

fn any(_: &RequestRecord) -> bool {
    true
}

/// Numbers of about the entropy that measured ones have, from the CPU time and its lowest digits.
fn fill(request: &mut RequestRecord) {
    let cpu = request.cpu_ns.unwrap_or(request.wall_ns);
    let noise = cpu.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    if request.instructions.is_none() {
        request.instruction_source = InstructionSource::HardwareUser;
    }
    request
        .instructions
        .get_or_insert(cpu * 3 + noise % 100_000);
    request
        .allocated_bytes
        .get_or_insert(cpu / 20 + noise % 5_000);
    request.allocations.get_or_insert(cpu / 2_000 + noise % 50);
    if request.flags.is_empty() {
        request.flags.push(Flag {
            name: "new-feed".into(),
            value: if noise.is_multiple_of(2) { "on" } else { "off" }.into(),
        });
    }
}

fn bytes_each(base: &Batch, requests: &[RequestRecord]) -> std::io::Result<f64> {
    let with = Batch {
        requests: requests.to_vec(),
        ..base.clone()
    };
    Ok((shipped(&with)? - shipped(base)?) as f64 / requests.len() as f64)
}

fn shipped(batch: &Batch) -> std::io::Result<i64> {
    let packed = zstd::bulk::compress(&encode_packed(batch), 1)?;
    Ok(packed.len() as i64)
}
