use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use appweight_wire::{Deploy, Format, encode};

use crate::args;

/// Tells the collector of a roll-out and prints what it made of it.
pub(crate) fn run(options: &args::Deploy, out: &mut dyn Write) -> anyhow::Result<()> {
    let now_us = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_micros()).ok());
    let deploy = Deploy {
        service: options.service.clone(),
        id: options.id.clone(),
        started_us: 0,
        ended_us: now_us.filter(|_| options.ended),
        replaced: options.replaced.clone(),
        author: options.author.clone(),
        title: options.title.clone(),
        link: options.link.clone(),
    };
    let stored: Deploy = options
        .at
        .client()?
        .post("/v1/deploys", &encode(&deploy, Format::Json))?;
    let replaced = stored.replaced.map_or_else(
        || "the first one".to_owned(),
        |id| format!("replacing {id}"),
    );
    let state = if stored.ended_us.is_some() {
        "has ended"
    } else {
        "is rolling"
    };
    writeln!(out, "{}: {} {state}, {replaced}", stored.service, stored.id)?;
    Ok(())
}
