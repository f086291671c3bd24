-- What is kept of a service's day when its records are gone, and its cells are folded. Two collectors may both write one: it is
-- the same.
CREATE TABLE IF NOT EXISTS days {on_cluster} (
    service LowCardinality(String),
    start_us UInt64,
    day String CODEC(ZSTD(3))
) ENGINE = {replicated}ReplacingMergeTree
ORDER BY (service, start_us)
SETTINGS {settings};
