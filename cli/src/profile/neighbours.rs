//! Who calls a function, and what it calls.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};

use anyhow::bail;
use appweight::profile::{
    Function, FunctionId, Neighbour, Neighbours, Profile, Taken, Timer, by_name, function_costs,
    neighbours,
};
use appweight::text;
use serde::Serialize;

use super::args::Around;
use super::files::Per;
use super::table::{left_out, named, print};

/// Names in a refusal: enough to find a typing error by.
const MOST_NAMES: usize = 10;

/// The callers and callees of one function, over all contexts.
#[derive(Debug)]
pub(super) struct Found {
    profile: Profile,
    function: FunctionId,
    /// What it costs with all that it calls.
    total: i64,
    neighbours: Neighbours,
    /// Where functions are defined, by their names.
    places: HashMap<String, Function>,
}

impl Found {
    /// Looks for the function by its name, or by the end of it if that is of one alone.
    pub(super) fn of(profile: &Profile, wanted: &str) -> anyhow::Result<Self> {
        let places = profile.functions().map(|(_, function)| function.clone());
        let places = places.map(|function| (function.name.clone(), function));
        let profile = by_name(profile);
        let function = Function::named(name_of(&profile, wanted)?);
        let Some(id) = profile.known_function(&function) else {
            bail!("no function of this profile is called {wanted}");
        };
        let costs = function_costs(&profile);
        let cost = costs.iter().find(|cost| cost.function == id);
        Ok(Self {
            function: id,
            total: cost.map_or(0, |cost| cost.total),
            neighbours: neighbours(&profile, &function),
            places: places.collect(),
            profile,
        })
    }

    fn place(&self, id: FunctionId) -> &Function {
        let function = self.profile.function(id);
        self.places.get(&function.name).unwrap_or(function)
    }

    /// Those of one kind as a table.
    pub(super) fn table(
        &self,
        out: &mut dyn Write,
        around: Around,
        per: Per,
        top: usize,
    ) -> io::Result<()> {
        let timer = self.profile.timer();
        let behind = self.profile.requests().max(1) as f64 / per.size();
        let amount = |value: i64| text::amount(&timer.unit, value as f64 / behind);
        let (whose, list) = match around {
            Around::Callers => ("callers", &self.neighbours.callers),
            Around::Callees => ("callees", &self.neighbours.callees),
        };
        writeln!(
            out,
            "{whose} of {}, which with all that it calls takes {} of {} per {}\n",
            named(self.place(self.function)),
            amount(self.total),
            timer.name,
            per.word(),
        )?;
        if list.is_empty() {
            return writeln!(out, "there are none");
        }
        let rows = list.iter().take(top).map(|neighbour| {
            let share = neighbour.total as f64 / self.total as f64;
            vec![
                if self.total == 0 {
                    "–".to_owned()
                } else {
                    text::percent(share)
                },
                amount(neighbour.total),
                format!("{:.1}", neighbour.calls as f64 / behind),
                match neighbour.function {
                    Some(id) => named(self.place(id)),
                    None => "the request itself".to_owned(),
                },
            ]
        });
        let seen = match self.profile.taken() {
            Taken::Scopes => "calls",
            Taken::Sampled => "samples",
        };
        print(out, &["of it", "", seen, "function"], rows.collect())?;
        left_out(out, list.len(), top)
    }

    /// Both as JSON.
    pub(super) fn json(&self) -> JsonNeighbours<'_> {
        let list = |neighbours: &[Neighbour]| {
            let each = neighbours.iter().map(|neighbour| JsonNeighbour {
                function: neighbour.function.map(|id| self.place(id).clone()),
                calls: neighbour.calls,
                total: neighbour.total,
            });
            each.collect()
        };
        JsonNeighbours {
            timer: self.profile.timer(),
            requests: self.profile.requests(),
            samples: self.profile.samples(),
            function: self.place(self.function),
            total: self.total,
            callers: list(&self.neighbours.callers),
            callees: list(&self.neighbours.callees),
        }
    }
}

fn name_of<'a>(profile: &'a Profile, wanted: &str) -> anyhow::Result<&'a str> {
    // Those that were looked through have a name still, and no node.
    let functions = profile.nodes().filter_map(|node| profile.function_of(node));
    let there: BTreeSet<&str> = functions
        .map(|id| profile.function(id).name.as_str())
        .collect();
    if let Some(name) = there.get(wanted) {
        return Ok(name);
    }
    let end = format!("::{wanted}");
    let ending = there.iter().filter(|name| name.ends_with(&end));
    let alike = there.iter().filter(|name| name.contains(wanted));
    match ending.copied().collect::<Vec<_>>().as_slice() {
        [one] => Ok(one),
        [] => match alike.copied().collect::<Vec<_>>().as_slice() {
            [] => bail!("no function of this profile is called {wanted}"),
            alike => bail!(
                "no function of this profile is called {wanted}, but {}",
                told(alike)
            ),
        },
        several => bail!("{wanted} may be {}", told(several)),
    }
}

fn told(names: &[&str]) -> String {
    match names.len().checked_sub(MOST_NAMES) {
        Some(more @ 1..) => format!("{} and {more} more", names[..MOST_NAMES].join(", ")),
        _ => names.join(", "),
    }
}

/// A caller or a callee as JSON; without a function it is the request itself.
#[derive(Debug, Serialize)]
struct JsonNeighbour {
    function: Option<Function>,
    calls: u64,
    total: i64,
}

/// A function with its callers and callees as JSON.
#[derive(Debug, Serialize)]
pub(super) struct JsonNeighbours<'a> {
    timer: &'a Timer,
    requests: u64,
    samples: u64,
    function: &'a Function,
    total: i64,
    callers: Vec<JsonNeighbour>,
    callees: Vec<JsonNeighbour>,
}
