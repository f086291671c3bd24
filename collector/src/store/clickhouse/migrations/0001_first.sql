-- Every time is in µs since the Unix epoch. Each statement can be run again, since none of them can be undone.
-- {on_cluster} and {replicated} are empty unless a cluster is named.

-- Which group brought a batch. Written before anything of the group, so that two collectors never both take it.
CREATE TABLE IF NOT EXISTS batches {on_cluster} (
    uuid UUID,
    digest FixedString(32),
    group_id UUID,
    collector UUID,
    received_us UInt64 CODEC(Delta, ZSTD(1))
) ENGINE = {replicated}MergeTree
ORDER BY uuid
SETTINGS index_granularity = 256, {settings};

-- What became of a group. One that is not here is being written by its collector, or waits in its journal.
CREATE TABLE IF NOT EXISTS groups {on_cluster} (
    group_id UUID,
    collector UUID,
    state Enum8('written' = 1, 'withdrawn' = 2),
    made_us UInt64 CODEC(Delta, ZSTD(1))
) ENGINE = {replicated}MergeTree
ORDER BY group_id
SETTINGS index_granularity = 256, {settings};

CREATE TABLE IF NOT EXISTS services {on_cluster} (
    service String,
    first_us SimpleAggregateFunction(min, UInt64),
    last_us SimpleAggregateFunction(max, UInt64)
) ENGINE = {replicated}AggregatingMergeTree
ORDER BY service
SETTINGS {settings};

-- When an endpoint was counted last, to the day.
CREATE TABLE IF NOT EXISTS endpoints {on_cluster} (
    service LowCardinality(String),
    endpoint String,
    counted_us SimpleAggregateFunction(max, UInt64)
) ENGINE = {replicated}AggregatingMergeTree
ORDER BY (service, endpoint)
SETTINGS {settings};

-- Up to when cells are told in less detail: folded over hosts and to minutes at least, or to hours at least.
CREATE TABLE IF NOT EXISTS folded {on_cluster} (
    step Enum8('minutes' = 1, 'hours' = 2),
    until_us SimpleAggregateFunction(max, UInt64)
) ENGINE = {replicated}AggregatingMergeTree
ORDER BY step
SETTINGS {settings};

-- Sums are wider than what is summed: they never wrap round, and are cut off at the largest value when they are
-- read. flag_name is '' in the cells that hold every request. hour_us and minute_us, with their widths, are when the
-- cell begins that it is folded into: they stand where rows can be added up by them.
CREATE TABLE IF NOT EXISTS cells {on_cluster} (
    service LowCardinality(String),
    hour_us UInt64 CODEC(DoubleDelta, ZSTD(1)),
    hour_width_us UInt64 CODEC(ZSTD(1)),
    minute_us UInt64 CODEC(DoubleDelta, ZSTD(1)),
    minute_width_us UInt64 CODEC(ZSTD(1)),
    start_us UInt64 CODEC(DoubleDelta, ZSTD(1)),
    width_us UInt64 CODEC(ZSTD(1)),
    deploy LowCardinality(String),
    kind Enum8('request' = 0, 'task' = 1),
    endpoint LowCardinality(String),
    cluster LowCardinality(String),
    instruction_source Enum8('none' = 0, 'hardware_user' = 1, 'hardware_all' = 2, 'simulated' = 3),
    age Enum8('warming_up' = 0, 'warm' = 1),
    flag_name LowCardinality(String),
    flag_value LowCardinality(String),
    host_group UInt8,
    n SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    weight SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    errors SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    scaled SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    unfinished SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    instructions_n SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    instructions_sum SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    instructions_sum_squares SimpleAggregateFunction(sum, UInt256) CODEC(ZSTD(1)),
    instructions_sum_logs SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    instructions_sum_squared_logs SimpleAggregateFunction(sum, UInt256) CODEC(ZSTD(1)),
    instructions_min SimpleAggregateFunction(min, UInt64) CODEC(ZSTD(1)),
    instructions_max SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    instructions_histogram SimpleAggregateFunction(sumMap, Map(UInt16, UInt128)) CODEC(ZSTD(1)),
    cpu_ns_n SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    cpu_ns_sum SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    cpu_ns_sum_squares SimpleAggregateFunction(sum, UInt256) CODEC(ZSTD(1)),
    cpu_ns_sum_logs SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    cpu_ns_sum_squared_logs SimpleAggregateFunction(sum, UInt256) CODEC(ZSTD(1)),
    cpu_ns_min SimpleAggregateFunction(min, UInt64) CODEC(ZSTD(1)),
    cpu_ns_max SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    cpu_ns_histogram SimpleAggregateFunction(sumMap, Map(UInt16, UInt128)) CODEC(ZSTD(1)),
    wall_ns_n SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    wall_ns_sum SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    wall_ns_sum_squares SimpleAggregateFunction(sum, UInt256) CODEC(ZSTD(1)),
    wall_ns_sum_logs SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    wall_ns_sum_squared_logs SimpleAggregateFunction(sum, UInt256) CODEC(ZSTD(1)),
    wall_ns_min SimpleAggregateFunction(min, UInt64) CODEC(ZSTD(1)),
    wall_ns_max SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    wall_ns_histogram SimpleAggregateFunction(sumMap, Map(UInt16, UInt128)) CODEC(ZSTD(1)),
    allocated_bytes_n SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    allocated_bytes_sum SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    allocated_bytes_sum_squares SimpleAggregateFunction(sum, UInt256) CODEC(ZSTD(1)),
    allocated_bytes_sum_logs SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    allocated_bytes_sum_squared_logs SimpleAggregateFunction(sum, UInt256) CODEC(ZSTD(1)),
    allocated_bytes_min SimpleAggregateFunction(min, UInt64) CODEC(ZSTD(1)),
    allocated_bytes_max SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    allocated_bytes_histogram SimpleAggregateFunction(sumMap, Map(UInt16, UInt128)) CODEC(ZSTD(1))
) ENGINE = {replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(fromUnixTimestamp64Micro(toInt64(hour_us), 'UTC'))
ORDER BY (
    service, hour_us, hour_width_us, deploy, kind, endpoint, cluster, instruction_source, age, flag_name, flag_value,
    minute_us, minute_width_us, start_us, width_us, host_group
)
SETTINGS {settings};

-- arrived_us and position tell records apart that are alike in all else, in the order in which they came.
CREATE TABLE IF NOT EXISTS requests {on_cluster} (
    service LowCardinality(String),
    deploy LowCardinality(String),
    host LowCardinality(String),
    endpoint LowCardinality(String),
    start_us UInt64 CODEC(Delta, ZSTD(1)),
    instructions Nullable(UInt64) CODEC(ZSTD(1)),
    cpu_ns Nullable(UInt64) CODEC(ZSTD(1)),
    arrived_us UInt64 CODEC(Delta, ZSTD(1)),
    position UInt32 CODEC(Delta, ZSTD(1)),
    record String CODEC(ZSTD(1))
) ENGINE = {replicated}MergeTree
PARTITION BY toYYYYMMDD(fromUnixTimestamp64Micro(toInt64(start_us), 'UTC'))
ORDER BY (service, start_us)
SETTINGS {settings};

CREATE TABLE IF NOT EXISTS processes {on_cluster} (
    service LowCardinality(String),
    deploy LowCardinality(String),
    host LowCardinality(String),
    source String CODEC(ZSTD(1)),
    start_us UInt64 CODEC(Delta, ZSTD(1)),
    width_us UInt64 CODEC(T64, ZSTD(1)),
    age_us UInt64 CODEC(ZSTD(1)),
    clock_ahead_us Nullable(Int64) CODEC(ZSTD(1)),
    arrived_us UInt64 CODEC(Delta, ZSTD(1)),
    position UInt32 CODEC(Delta, ZSTD(1)),
    record String CODEC(ZSTD(1))
) ENGINE = {replicated}MergeTree
PARTITION BY toYYYYMMDD(fromUnixTimestamp64Micro(toInt64(start_us), 'UTC'))
ORDER BY (service, start_us)
SETTINGS {settings};

-- What is behind a replicate of a profile.
CREATE TABLE IF NOT EXISTS profiles {on_cluster} (
    service LowCardinality(String),
    deploy LowCardinality(String),
    endpoint LowCardinality(String),
    kind Enum8('request' = 0, 'task' = 1),
    timer LowCardinality(String),
    unit LowCardinality(String),
    taken Enum8('scopes' = 0, 'sampled' = 1),
    instruction_source Enum8('none' = 0, 'hardware_user' = 1, 'hardware_all' = 2, 'simulated' = 3),
    age Enum8('warming_up' = 0, 'warm' = 1),
    replicate UInt8,
    from_us SimpleAggregateFunction(min, UInt64),
    until_us SimpleAggregateFunction(max, UInt64),
    requests SimpleAggregateFunction(sum, UInt128),
    samples SimpleAggregateFunction(sum, UInt128),
    lost_samples SimpleAggregateFunction(sum, UInt128),
    folded SimpleAggregateFunction(sum, UInt128),
    builds SimpleAggregateFunction(groupUniqArrayArray, Array(String))
) ENGINE = {replicated}AggregatingMergeTree
ORDER BY (service, deploy, endpoint, kind, timer, unit, taken, instruction_source, age, replicate)
SETTINGS {settings};

-- Its tree: a node's number is a hash of the chain of calls that leads to it, so that the same chains add up
-- whoever sends them.
CREATE TABLE IF NOT EXISTS profile_nodes {on_cluster} (
    service LowCardinality(String),
    deploy LowCardinality(String),
    endpoint LowCardinality(String),
    kind Enum8('request' = 0, 'task' = 1),
    timer LowCardinality(String),
    unit LowCardinality(String),
    taken Enum8('scopes' = 0, 'sampled' = 1),
    instruction_source Enum8('none' = 0, 'hardware_user' = 1, 'hardware_all' = 2, 'simulated' = 3),
    age Enum8('warming_up' = 0, 'warm' = 1),
    replicate UInt8,
    node UInt128 CODEC(ZSTD(1)),
    parent SimpleAggregateFunction(any, UInt128) CODEC(ZSTD(1)),
    name SimpleAggregateFunction(any, String) CODEC(ZSTD(1)),
    file SimpleAggregateFunction(any, String) CODEC(ZSTD(1)),
    line SimpleAggregateFunction(any, UInt32) CODEC(ZSTD(1)),
    calls SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
    own SimpleAggregateFunction(sum, Int128) CODEC(ZSTD(1)),
    until_us SimpleAggregateFunction(max, UInt64) CODEC(Delta, ZSTD(1))
) ENGINE = {replicated}AggregatingMergeTree
ORDER BY (service, deploy, endpoint, kind, timer, unit, taken, instruction_source, age, replicate, node)
SETTINGS {settings};

-- Every change of a roll-out is a row of its own; the newest holds. All rows that one change of a service's
-- roll-outs made have its version, and only one writer gets a version in.
CREATE TABLE IF NOT EXISTS deploys {on_cluster} (
    service LowCardinality(String),
    deploy_row Int64,
    version UInt64,
    writer UUID,
    id String,
    started_us UInt64,
    posted_us Nullable(UInt64),
    ended_us Nullable(UInt64),
    replaced Nullable(String),
    author Nullable(String),
    title Nullable(String),
    link Nullable(String),
    discovered Bool,
    replaced_given Bool,
    judged Bool,
    report String CODEC(ZSTD(3))
) ENGINE = {replicated}MergeTree
ORDER BY (service, deploy_row, version)
SETTINGS {settings};
