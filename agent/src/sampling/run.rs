//! The agent's threads for samples.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use appweight_wire as wire;

use super::allocations::Allocated;
use super::event::Unit;
use super::hand_over::{Finished, SeenSpan, Span, Taken};
use super::stacks::Stacks;
use super::symbols::Symbols;
use super::tree::Tree;
use super::trial::trial;
use crate::build_id::build_id;
use crate::core::Core;
use crate::profile::merge::{Part, TimerCost, TimerName};

/// How soon the end is noticed.
const TURN: Duration = Duration::from_millis(500);

/// Makes room in rings while polls take long, until the agent is switched off.
pub(crate) fn make_room(core: &Core) {
    while core.is_on() {
        core.sampling().threads.make_room(TURN);
    }
}

/// Tries how stacks can be taken here, then finds out what the addresses in them are called, until all are in profiles.
pub(crate) fn name_functions(core: &Core) {
    let sampling = core.sampling();
    match (&sampling.allocations, core.settings().sample_allocations) {
        (_, 0) => {}
        (Ok(how), _) => tracing::info!("AppWeight: allocations are sampled by {how}"),
        (Err(why), _) => tracing::warn!("AppWeight: allocations are not sampled: {why}"),
    }
    if sampling.wants_stacks() {
        match sampling.found.get_or_init(|| trial(sampling.per_second)) {
            Ok(found) => tracing::info!("AppWeight: stacks are sampled by {found}"),
            Err(absence) => {
                tracing::warn!(
                    "AppWeight: the stacks of requests are not sampled: {}",
                    absence.why
                );
            }
        }
    }
    sampling.begin_process();
    match sampling.process_found.get() {
        Some(Ok(how)) => tracing::info!(
            "AppWeight: the whole process is sampled by {how}; these samples belong to no request, and are told under no endpoint"
        ),
        Some(Err(why)) => tracing::warn!("AppWeight: the whole process is not sampled: {why}"),
        None => {}
    }
    if !sampling.samples_any() {
        return;
    }
    if let Some(id) = build_id() {
        tracing::info!("AppWeight: functions are named by the symbols of build {id}");
    }
    let mut symbols = Symbols::default();
    loop {
        match sampling.hand_over.take(TURN) {
            Some(Taken::Request(finished)) => add(core, &mut symbols, &finished),
            Some(Taken::Span(span)) => add_span(core, &mut symbols, &span),
            Some(Taken::Process(span)) => add_process(core, &mut symbols, &span),
            None if sampling.hand_over.is_closed() => return,
            None => {}
        }
        symbols.stay_small();
    }
}

fn add(core: &Core, symbols: &mut Symbols, finished: &Finished) {
    let Some(Ok(found)) = core.sampling().found.get() else {
        return;
    };
    let stacks = &finished.stacks;
    let tally = &core.sampling().tally;
    for (sum, more) in [
        (&tally.requests, 1),
        (&tally.polls, stacks.polls),
        (&tally.unsampled_polls, stacks.unsampled_polls),
    ] {
        sum.fetch_add(more, Ordering::Relaxed);
    }
    if stacks.polls > 0 && stacks.polls == stacks.unsampled_polls {
        // Nothing is known of it, which is not the same as that it costs nothing.
        return;
    }
    let tree = named(stacks, symbols, found.pace.period);
    core.with_profiles(|profiles| {
        let (nodes, own) = tree.part(symbols, profiles);
        let part = Part {
            end_us: finished.of.end_us,
            kind: finished.of.kind,
            endpoint: Some(finished.of.endpoint),
            age: finished.of.age,
            taken: wire::Taken::Sampled,
            requests: 1,
            samples: stacks.samples,
            lost_samples: stacks.lost,
            folded: stacks.folded,
            timers: &[timer_of(found.pace.unit)],
            nodes: &nodes,
            own,
        };
        // What finds no room is counted there.
        let _ = profiles.add(&part, core.spans().cell_us);
    });
}

/// The tree of its functions. Each sample stands for what is used from one to the next.
fn named(stacks: &Stacks, symbols: &mut Symbols, period: u64) -> Tree {
    let mut tree = Tree::new(1);
    let nodes = stacks.nodes();
    let mut chain = Vec::new();
    for (place, node) in nodes.iter().enumerate() {
        if node.samples == 0 {
            continue;
        }
        chain.clear();
        let mut at = place;
        while at > 0 {
            symbols.resolve(nodes[at].address);
            chain.push(nodes[at].address);
            at = nodes[at].parent as usize;
        }
        chain.reverse();
        let cost = i64::try_from(node.samples.saturating_mul(period)).unwrap_or(i64::MAX);
        tree.add(symbols, &chain, node.samples, &[cost]);
    }
    tree
}

/// Adds what each endpoint has allocated, and what was allocated outside of requests.
fn add_span(core: &Core, symbols: &mut Symbols, span: &Span) {
    let mut trees: HashMap<_, (Tree, u64)> = HashMap::new();
    for allocated in &span.allocated {
        let Allocated {
            frames,
            whose,
            samples,
            bytes,
            live,
        } = allocated;
        let chain: Vec<u64> = frames
            .iter()
            .rev()
            .map(|frame| frame.saturating_sub(1))
            .collect();
        for address in &chain {
            symbols.resolve(*address);
        }
        let (tree, all) = trees.entry(*whose).or_insert_with(|| (Tree::new(2), 0));
        let bytes = i64::try_from(*bytes).unwrap_or(i64::MAX);
        tree.add_allocation(symbols, &chain, *samples, &[bytes, *live]);
        *all += samples;
    }
    let timers = [timer("allocated", "bytes"), timer("live", "bytes")];
    for (whose, (tree, samples)) in trees {
        let requests = match whose {
            Some((_, endpoint)) => span.requests.get(&endpoint).copied().unwrap_or(0),
            None => 0,
        };
        core.with_profiles(|profiles| {
            let (nodes, own) = tree.part(symbols, profiles);
            let part = Part {
                end_us: span.at_us,
                kind: whose.map_or(wire::Kind::Request, |(kind, _)| kind),
                endpoint: whose.map(|(_, endpoint)| endpoint),
                age: span.age,
                taken: wire::Taken::Sampled,
                requests,
                samples,
                lost_samples: 0,
                folded: 0,
                timers: &timers,
                nodes: &nodes,
                own,
            };
            // What finds no room is counted there.
            let _ = profiles.add(&part, core.spans().cell_us);
        });
    }
}

/// Adds what was seen of the whole process.
fn add_process(core: &Core, symbols: &mut Symbols, span: &SeenSpan) {
    let mut tree = Tree::new(1);
    let mut samples = 0;
    for seen in &span.seen {
        let inside = |(depth, frame): (usize, &u64)| frame.saturating_sub(u64::from(depth > 0));
        let mut chain: Vec<u64> = seen.frames.iter().enumerate().map(inside).collect();
        chain.reverse();
        for address in &chain {
            symbols.resolve(*address);
        }
        let cost = seen.samples.saturating_mul(span.period_ns);
        tree.add_whole(
            symbols,
            &chain,
            seen.samples,
            &[i64::try_from(cost).unwrap_or(i64::MAX)],
        );
        samples += seen.samples;
    }
    if samples == 0 {
        return;
    }
    core.with_profiles(|profiles| {
        let (nodes, own) = tree.part(symbols, profiles);
        let part = Part {
            end_us: span.at_us,
            kind: wire::Kind::Request,
            endpoint: None,
            age: span.age,
            taken: wire::Taken::Sampled,
            requests: 0,
            samples,
            lost_samples: 0,
            folded: 0,
            timers: &[timer("cpu", "ns")],
            nodes: &nodes,
            own,
        };
        // What finds no room is counted there.
        let _ = profiles.add(&part, core.spans().cell_us);
    });
}

fn timer_of(unit: Unit) -> TimerName {
    match unit {
        Unit::Instructions => timer("instructions", "instructions"),
        Unit::Cpu => timer("user_cpu", "ns"),
    }
}

fn timer(name: &str, unit: &str) -> TimerName {
    TimerName {
        name: name.to_owned(),
        unit: unit.to_owned(),
        cost: TimerCost::default(),
    }
}
