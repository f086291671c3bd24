//! Profiles: the nodes of their trees are rows, which ClickHouse adds up by the chain of calls that leads to them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use appweight::api::{ProfileOf, ProfileSummary};
use appweight::profile::{NodeId, Profile, of_record, prune};
use appweight_wire::{Function, ProfileRecord, TimerValues};
use clickhouse::query::Query;
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::journal::Group;
use super::numbers::{narrow, narrow_signed};
use crate::store::profiles::{KEPT_NODES, MOST_NODES, Part, Place, parts_of, unite};
use crate::store::{ProfileQuery, StoreError, code};

/// What tells a profile from others, but for its service and deploy.
pub(super) const OF: &str = "endpoint, kind, timer, unit, taken, instruction_source, age";

/// The node that stands for the request.
const ROOT: u128 = 0;

#[derive(Default, Row, Serialize)]
pub(super) struct PartRow {
    service: String,
    deploy: String,
    endpoint: String,
    kind: i8,
    timer: String,
    unit: String,
    taken: i8,
    instruction_source: i8,
    age: i8,
    replicate: u8,
    from_us: u64,
    until_us: u64,
    requests: u128,
    samples: u128,
    lost_samples: u128,
    folded: u128,
    builds: Vec<String>,
    taken_off_milli: u64,
    left_milli: u64,
}

#[derive(Default, Row, Serialize)]
pub(super) struct NodeRow {
    service: String,
    deploy: String,
    endpoint: String,
    kind: i8,
    timer: String,
    unit: String,
    taken: i8,
    instruction_source: i8,
    age: i8,
    replicate: u8,
    node: u128,
    parent: u128,
    name: String,
    file: String,
    line: u32,
    calls: u128,
    own: i128,
    until_us: u64,
}

/// The profiles of a group, added up by what they are of.
pub(super) struct Parts<'a>(BTreeMap<(&'a str, &'a str, Place), Part>);

impl<'a> Parts<'a> {
    pub(super) fn of(group: &'a Group) -> Self {
        let mut sums: BTreeMap<_, Part> = BTreeMap::new();
        for new in &group.batches {
            let origin = &new.batch.origin;
            for (place, part) in parts_of(&new.batch) {
                let key = (origin.service.as_str(), origin.deploy.as_str(), place);
                match sums.get_mut(&key) {
                    Some(sum) => sum.add(&part),
                    None => {
                        sums.insert(key, part);
                    }
                }
            }
        }
        Self(sums)
    }

    /// Those that another store kept of a service's deploy.
    pub(super) fn copied(service: &'a str, deploy: &'a str, parts: Vec<(Place, Part)>) -> Self {
        let parts = parts.into_iter();
        Self(
            parts
                .map(|(place, part)| ((service, deploy, place), part))
                .collect(),
        )
    }

    pub(super) fn rows(&self) -> Vec<PartRow> {
        let rows = self.0.iter().map(|((service, deploy, place), part)| {
            let (of, replicate) = place;
            PartRow {
                service: (*service).to_owned(),
                deploy: (*deploy).to_owned(),
                endpoint: of.endpoint.clone(),
                kind: code::kind(of.kind) as i8,
                timer: of.timer.clone(),
                unit: of.unit.clone(),
                taken: code::taken(of.taken) as i8,
                instruction_source: code::source(of.instruction_source) as i8,
                age: code::age(of.age) as i8,
                replicate: *replicate,
                from_us: part.from_us,
                until_us: part.until_us,
                requests: part.tree.requests().into(),
                samples: part.tree.samples().into(),
                lost_samples: part.lost_samples.into(),
                folded: part.tree.folded().into(),
                builds: part.tree.builds().iter().map(str::to_owned).collect(),
                taken_off_milli: part.tree.timer_cost().taken_off_milli,
                left_milli: part.tree.timer_cost().left_milli,
            }
        });
        rows.collect()
    }

    /// The same, and what says that they are of that group of a collector, its newest: a part of no service, which is in when
    /// they are.
    pub(super) fn rows_of_group(&self, collector: Uuid, made_us: u64) -> Vec<PartRow> {
        let mut rows = self.rows();
        if !rows.is_empty() {
            rows.push(PartRow {
                deploy: collector.to_string(),
                until_us: made_us,
                ..PartRow::default()
            });
        }
        rows
    }

    /// The nodes of all trees.
    pub(super) fn node_rows(&self) -> Vec<NodeRow> {
        let parts = self.0.iter();
        let rows = parts.flat_map(|((service, deploy, (of, replicate)), part)| {
            nodes(&part.tree).into_iter().map(move |node| NodeRow {
                service: (*service).to_owned(),
                deploy: (*deploy).to_owned(),
                endpoint: of.endpoint.clone(),
                kind: code::kind(of.kind) as i8,
                timer: of.timer.clone(),
                unit: of.unit.clone(),
                taken: code::taken(of.taken) as i8,
                instruction_source: code::source(of.instruction_source) as i8,
                age: code::age(of.age) as i8,
                replicate: *replicate,
                node: node.number,
                parent: node.parent,
                name: node.function.name,
                file: node.function.file,
                line: node.function.line,
                calls: part.tree.calls(node.at).into(),
                own: part.tree.own(node.at).into(),
                until_us: part.until_us,
            })
        });
        rows.collect()
    }

    /// The same, and what says that they are of that group of a collector.
    pub(super) fn node_rows_of_group(&self, collector: Uuid, made_us: u64) -> Vec<NodeRow> {
        let mut rows = self.node_rows();
        if !rows.is_empty() {
            rows.push(NodeRow {
                deploy: collector.to_string(),
                until_us: made_us,
                ..NodeRow::default()
            });
        }
        rows
    }
}

/// Whether those of a collector's newest group are in, of which there are some.
pub(super) async fn are_in(
    client: &Client,
    table: &str,
    collector: Uuid,
    made_us: u64,
) -> Result<bool, StoreError> {
    let newest =
        format!("SELECT max({table}.until_us) FROM {table} WHERE service = '' AND deploy = ?");
    let newest = client.query(&newest).bind(collector.to_string());
    Ok(newest.fetch_one::<u64>().await? == made_us)
}

struct Node {
    at: NodeId,
    number: u128,
    parent: u128,
    function: Function,
}

fn nodes(tree: &Profile) -> Vec<Node> {
    let mut numbers: HashMap<NodeId, u128> = HashMap::new();
    let numbered = tree.nodes().map(|at| {
        let above = tree.parent(at).and_then(|parent| numbers.get(&parent));
        let parent = above.copied().unwrap_or(ROOT);
        let function = tree.function_of(at).map(|id| tree.function(id).clone());
        let number = function.as_ref().map_or(ROOT, |of| number_of(parent, of));
        numbers.insert(at, number);
        Node {
            at,
            number,
            parent,
            function: function.unwrap_or_default(),
        }
    });
    numbered.collect()
}

/// The hash of a chain of calls, from that of its callers.
fn number_of(parent: u128, function: &Function) -> u128 {
    let mut hash = Sha256::new();
    hash.update(parent.to_le_bytes());
    hash.update((function.name.len() as u64).to_le_bytes());
    hash.update(&function.name);
    hash.update((function.file.len() as u64).to_le_bytes());
    hash.update(&function.file);
    hash.update(function.line.to_le_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let half = digest.first_chunk().copied().unwrap_or_default();
    u128::from_le_bytes(half)
}

#[derive(Row, Deserialize)]
struct SummaryRow {
    endpoint: String,
    kind: i8,
    timer: String,
    unit: String,
    taken: i8,
    instruction_source: i8,
    age: i8,
    from_us: u64,
    until_us: u64,
    requests: u128,
    samples: u128,
    lost_samples: u128,
}

/// What there is of a deploy, by endpoint and timer.
pub(super) async fn list(
    client: &Client,
    service: &str,
    deploy: &str,
) -> Result<Vec<ProfileSummary>, StoreError> {
    let sql = format!(
        "SELECT {OF}, min(profiles.from_us) AS from_us, max(profiles.until_us) AS until_us,
            sum(profiles.requests) AS requests, sum(profiles.samples) AS samples,
            sum(profiles.lost_samples) AS lost_samples
        FROM profiles WHERE service = ? AND deploy = ? GROUP BY {OF}, replicate ORDER BY {OF}, replicate"
    );
    let mut rows = (client.query(&sql).bind(service).bind(deploy)).fetch::<SummaryRow>()?;
    let mut all = Vec::new();
    while let Some(row) = rows.next().await? {
        let next = ProfileSummary {
            of: ProfileOf {
                endpoint: row.endpoint,
                kind: code::kind_of(row.kind.into())?,
                timer: row.timer,
                unit: row.unit,
                taken: code::taken_of(row.taken.into())?,
                instruction_source: code::source_of(row.instruction_source.into())?,
                age: code::age_of(row.age.into())?,
            },
            from_us: row.from_us,
            until_us: row.until_us,
            requests: narrow(row.requests),
            samples: narrow(row.samples),
            lost_samples: narrow(row.lost_samples),
        };
        unite(&mut all, next);
    }
    Ok(all)
}

#[derive(Row, Deserialize)]
struct HeadRow {
    replicate: u8,
    from_us: u64,
    until_us: u64,
    lost_samples: u128,
    requests: u128,
    samples: u128,
    folded: u128,
    builds: Vec<String>,
    taken_off_milli: u64,
    left_milli: u64,
}

#[derive(Row, Deserialize)]
struct FoundNode {
    replicate: u8,
    node: u128,
    parent: u128,
    name: String,
    file: String,
    line: u32,
    calls: u128,
    own: i128,
}

/// All replicates of a profile.
pub(super) async fn replicates(
    client: &Client,
    query: &ProfileQuery,
) -> Result<Vec<Profile>, StoreError> {
    let parts = parts(client, query).await?;
    Ok(parts.into_iter().map(|(_, part)| part.tree).collect())
}

/// All of a deploy.
pub(super) async fn every_part(
    client: &Client,
    service: &str,
    deploy: &str,
) -> Result<Vec<(Place, Part)>, StoreError> {
    let mut all = Vec::new();
    for summary in list(client, service, deploy).await? {
        let query = ProfileQuery {
            service: service.to_owned(),
            deploy: deploy.to_owned(),
            of: summary.of,
        };
        let found = parts(client, &query).await?;
        all.extend(
            (found.into_iter()).map(|(replicate, part)| ((query.of.clone(), replicate), part)),
        );
    }
    Ok(all)
}

async fn parts(client: &Client, query: &ProfileQuery) -> Result<Vec<(u8, Part)>, StoreError> {
    const IS: &str = "service = ? AND deploy = ? AND endpoint = ? AND kind = ? AND timer = ? AND unit = ? \
        AND taken = ? AND instruction_source = ? AND age = ?";
    let heads = format!(
        "SELECT replicate, min(profiles.from_us) AS from_us, max(profiles.until_us) AS until_us,
            sum(profiles.lost_samples) AS lost_samples, sum(profiles.requests) AS requests, sum(profiles.samples) AS samples,
            sum(profiles.folded) AS folded, arraySort(groupUniqArrayArray(profiles.builds)) AS builds,
            max(profiles.taken_off_milli) AS taken_off_milli, max(profiles.left_milli) AS left_milli
        FROM profiles WHERE {IS} GROUP BY replicate ORDER BY replicate"
    );
    let nodes = format!(
        "SELECT replicate, node, any(profile_nodes.parent) AS parent, any(profile_nodes.name) AS name,
            any(profile_nodes.file) AS file, any(profile_nodes.line) AS line, sum(profile_nodes.calls) AS calls,
            sum(profile_nodes.own) AS own
        FROM profile_nodes WHERE {IS} GROUP BY replicate, node ORDER BY replicate, node"
    );
    let heads = bound(client.query(&heads), query);
    let nodes = bound(client.query(&nodes), query);
    let heads = heads.fetch_all::<HeadRow>().await?;
    let mut nodes_of: BTreeMap<u8, Vec<FoundNode>> = BTreeMap::new();
    let mut rows = nodes.fetch::<FoundNode>()?;
    while let Some(row) = rows.next().await? {
        nodes_of.entry(row.replicate).or_default().push(row);
    }
    let parts = heads.into_iter().map(|head| {
        let nodes = nodes_of.remove(&head.replicate).unwrap_or_default();
        let part = Part {
            from_us: head.from_us,
            until_us: head.until_us,
            lost_samples: narrow(head.lost_samples),
            tree: tree_of(query, &head, nodes)?,
        };
        Ok((head.replicate, part))
    });
    parts.collect()
}

fn bound(asked: Query, query: &ProfileQuery) -> Query {
    let of = &query.of;
    asked
        .bind(&query.service)
        .bind(&query.deploy)
        .bind(&of.endpoint)
        .bind(code::kind(of.kind))
        .bind(&of.timer)
        .bind(&of.unit)
        .bind(code::taken(of.taken))
        .bind(code::source(of.instruction_source))
        .bind(code::age(of.age))
}

/// Puts a tree together again: callers before those that they called.
fn tree_of(
    query: &ProfileQuery,
    head: &HeadRow,
    nodes: Vec<FoundNode>,
) -> Result<Profile, StoreError> {
    let (count, mut root) = (nodes.len(), None);
    let mut called: HashMap<u128, Vec<FoundNode>> = HashMap::new();
    for node in nodes {
        if node.node == ROOT {
            root = Some(node);
        } else {
            called.entry(node.parent).or_default().push(node);
        }
    }
    let mut record = ProfileRecord {
        taken: query.of.taken,
        requests: narrow(head.requests),
        samples: narrow(head.samples),
        folded: narrow(head.folded),
        builds: head.builds.clone(),
        ..ProfileRecord::default()
    };
    let mut own = Vec::with_capacity(count);
    let mut next: VecDeque<(u32, FoundNode)> = root.into_iter().map(|root| (0, root)).collect();
    while let Some((parent, node)) = next.pop_front() {
        let place = u32::try_from(record.parents.len()).unwrap_or(u32::MAX);
        for callee in called.remove(&node.node).unwrap_or_default() {
            next.push_back((place, callee));
        }
        record.parents.push(parent);
        record.node_functions.push(place);
        record.functions.push(Function {
            name: node.name,
            file: node.file,
            line: node.line,
        });
        record.calls.push(narrow(node.calls));
        own.push(narrow_signed(node.own));
    }
    if own.len() != count || count == 0 {
        return Err(StoreError::Corrupt {
            what: "profile",
            reason: format!("{} of its {count} nodes have a caller", own.len()),
        });
    }
    let timer = TimerValues {
        name: query.of.timer.clone(),
        unit: query.of.unit.clone(),
        own,
        taken_off_milli: head.taken_off_milli,
        left_milli: head.left_milli,
    };
    let tree = of_record(&record, &timer, usize::from(head.replicate));
    // What was sent apart was bounded apart.
    Ok(if tree.nodes().len() > MOST_NODES {
        prune(&tree, KEPT_NODES)
    } else {
        tree
    })
}
