use std::collections::HashMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use super::message as proto;
use crate::profile::parts::{NodeId, Taken};
use crate::profile::tree::Profile;

/// Writes a profile, packed: a sample for each chain of calls, with its calls (or samples) and its cost.
///
/// Speedscope refuses files in which a chain costs less than nothing, as one does that gives memory back. Such a cost
/// is taken off its caller's, so that whatever is told of the caller with its callees stays; what would make the whole
/// request cost less than nothing is left out, and the file's comment says how much that is.
#[must_use]
pub fn write(profile: &Profile) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    // Into memory neither can fail.
    let _ = packed.write_all(&message_of(profile).encode_to_vec());
    packed.finish().unwrap_or_default()
}

pub(super) fn message_of(profile: &Profile) -> proto::Profile {
    let mut table = Table::default();
    let mut kind = |name: &str, unit: &str| proto::ValueType {
        r#type: table.number(name),
        unit: table.number(unit),
    };
    let calls = match profile.taken() {
        Taken::Scopes => "calls",
        Taken::Sampled => "samples",
    };
    let timer = profile.timer();
    let unit = match timer.unit.as_str() {
        "ns" => "nanoseconds",
        other => other,
    };
    let sample_type = vec![kind(calls, "count"), kind(&timer.name, unit)];
    let default_sample_type = sample_type[1].r#type;
    let (own, left_out) = never_negative(profile);
    let mut told = format!(
        "{} requests; {} nodes folded into their callers",
        profile.requests(),
        profile.folded()
    );
    if left_out < 0 {
        told.push_str(&format!("; {left_out} {} left out", timer.unit));
    }
    let cost = profile.timer_cost().told(&timer.unit);
    let comment = [Some(told), cost].into_iter().flatten();
    let comment = comment.map(|told| table.number(&told)).collect();
    // Functions have their names: nobody has to look for the program's file. Of several builds none can be named.
    let mapping: Vec<proto::Mapping> = profile
        .builds()
        .only()
        .map(|build| proto::Mapping {
            id: 1,
            build_id: table.number(build),
            has_functions: true,
            has_filenames: true,
            has_line_numbers: true,
            has_inline_frames: true,
        })
        .into_iter()
        .collect();
    let mapping_id = mapping.first().map_or(0, |mapping| mapping.id);
    let mut function = Vec::with_capacity(profile.functions().len());
    for (id, known) in (1..).zip(profile.functions().map(|(_, function)| function)) {
        let name = table.number(&known.name);
        function.push(proto::Function {
            id,
            name,
            // Absent: where it is the same as the name, pprof takes that for mangled and cuts out what stands between
            // angle brackets.
            system_name: 0,
            filename: table.number(&known.file),
            start_line: known.line.into(),
        });
    }
    // Where in a function a call stands is not known: a location for each is enough.
    let location = function
        .iter()
        .map(|function| proto::Location {
            id: function.id,
            mapping_id,
            line: vec![proto::Line {
                function_id: function.id,
                line: function.start_line,
            }],
            ..proto::Location::default()
        })
        .collect();
    let sample = profile
        .nodes()
        .zip(own)
        .map(|(node, own)| (node, profile.calls(node), own))
        .filter(|(_, calls, own)| (*calls, *own) != (0, 0))
        .map(|(node, calls, own)| proto::Sample {
            location_id: locations(profile, node),
            value: vec![i64::try_from(calls).unwrap_or(i64::MAX), own],
        })
        .collect();
    proto::Profile {
        sample_type,
        sample,
        mapping,
        location,
        function,
        string_table: table.strings,
        comment,
        default_sample_type,
        duration_nanos: 0,
    }
}

/// What each node itself cost, with costs below zero taken off those of callers; and what is still below zero then.
fn never_negative(profile: &Profile) -> (Vec<i64>, i64) {
    let mut own: Vec<i64> = profile.nodes().map(|node| profile.own(node)).collect();
    for node in profile.nodes().rev() {
        if let Some(parent) = profile.parent(node) {
            let below = own[node.index()].min(0);
            own[node.index()] -= below;
            own[parent.index()] = own[parent.index()].saturating_add(below);
        }
    }
    let left_out = own[0].min(0);
    own[0] -= left_out;
    (own, left_out)
}

/// The leaf first. Locations are numbered as functions are, from 1.
fn locations(profile: &Profile, node: NodeId) -> Vec<u64> {
    std::iter::successors(Some(node), |node| profile.parent(*node))
        .filter_map(|node| profile.function_of(node))
        .map(|function| u64::from(function.0) + 1)
        .collect()
}

struct Table {
    strings: Vec<String>,
    numbers: HashMap<String, i64>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            strings: vec![String::new()],
            numbers: HashMap::from([(String::new(), 0)]),
        }
    }
}

impl Table {
    fn number(&mut self, text: &str) -> i64 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = i64::try_from(self.strings.len()).unwrap_or(i64::MAX);
        self.strings.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}
