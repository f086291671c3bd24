use std::io::{self, Write};

use appweight_agent::{Diagnosis, Machine, Way, Ways};

/// Room for the longest name of a counter.
const NAME: usize = 25;
/// Room for most ways of reading one.
const READ_BY: usize = 46;

pub(super) fn print(found: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    machine(&found.machine, out)?;
    writeln!(
        out,
        "\n  {:NAME$} {:READ_BY$} {:>9}",
        "counter", "read by", "a reading"
    )?;
    for counter in &found.counters {
        ways(counter, out)?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "{}",
        if found.counts_every_request {
            "Every request is counted: CPU time is read without a system call."
        } else {
            "One request in K of busy endpoints is counted and stands for the others: CPU time costs a system call."
        }
    )?;
    writeln!(
        out,
        "{}",
        if found.counts_instructions {
            "Instructions are counted: deploys are compared in them."
        } else {
            "Instructions are not counted: deploys are compared in CPU time, under its own name."
        }
    )?;
    if !found.advice.is_empty() {
        writeln!(out, "\nTo get more:")?;
    }
    for (number, advice) in (1..).zip(&found.advice) {
        writeln!(out, "{number:>3}. {}", advice.gain)?;
        writeln!(out, "     → {}", advice.change)?;
    }
    writeln!(
        out,
        "\nThis is what this program finds as it was started. A service in another container, under another user or with\n\
         another C library may find something else: its agent says so in its log at the start."
    )
}

fn machine(machine: &Machine, out: &mut dyn Write) -> io::Result<()> {
    let Machine {
        cpu_model,
        kernel,
        architecture,
        c_library,
        perf_event_paranoid,
        perfmon,
        seccomp_filter,
        reads_in_user_space,
        open_files,
        frame_pointers,
    } = machine;
    let cpu_model = match cpu_model.as_str() {
        "" => "CPU not named",
        known => known,
    };
    let known = |value: Option<bool>, yes: &'static str, no: &'static str| match value {
        Some(true) => yes,
        Some(false) => no,
        None => "not known",
    };
    let rows = [
        (
            "machine",
            format!("{cpu_model}, {architecture}, Linux {kernel}, {c_library}"),
        ),
        (
            "perf events",
            format!(
                "kernel.perf_event_paranoid {}, CAP_PERFMON: {}, seccomp filter: {}",
                perf_event_paranoid.map_or("not known".to_owned(), |level| level.to_string()),
                known(*perfmon, "yes", "no"),
                known(*seccomp_filter, "yes", "no"),
            ),
        ),
        (
            "reads in user space",
            known(*reads_in_user_space, "permitted", "forbidden").to_owned(),
        ),
        (
            "open files",
            open_files.map_or("no limit".to_owned(), |limit| format!("{limit} at most")),
        ),
        (
            "frame pointers",
            known(*frame_pointers, "kept", "not kept").to_owned(),
        ),
    ];
    for (name, value) in rows {
        writeln!(out, "  {name:NAME$} {value}")?;
    }
    Ok(())
}

fn ways(counter: &Ways, out: &mut dyn Write) -> io::Result<()> {
    let in_use = counter.in_use();
    let mut name = counter.counter.as_str();
    for way in &counter.ways {
        line(name, way, in_use.is_some_and(|used| used == way), out)?;
        name = "";
    }
    Ok(())
}

/// The way in use has a star, so that nothing is said by colour alone.
fn line(name: &str, way: &Way, is_used: bool, out: &mut dyn Write) -> io::Result<()> {
    let Way {
        read_by,
        absent_because,
        ns_per_read,
    } = way;
    match (absent_because, ns_per_read) {
        (None, Some(ns)) => {
            let star = if is_used { '*' } else { ' ' };
            let digits = usize::from(*ns < 99.95);
            writeln!(
                out,
                "{star} {name:NAME$} {read_by:READ_BY$} {ns:>6.digits$} ns"
            )
        }
        (None, None) => writeln!(out, "  {name:NAME$} {read_by}"),
        // A counter with one way is named by itself where it is not there.
        (Some(why), _) if read_by == name => writeln!(out, "  {name:NAME$} no: {why}"),
        (Some(why), _) => writeln!(out, "  {name:NAME$} not {read_by}: {why}"),
    }
}
