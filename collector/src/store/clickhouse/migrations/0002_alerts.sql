-- What was done about alerts: of those without a row here nothing. Each change is a row, the newest counts.
CREATE TABLE IF NOT EXISTS alerts {on_cluster} (
    service LowCardinality(String),
    deploy String,
    started_us UInt64,
    version UInt64,
    writer UUID,
    status String CODEC(ZSTD(3))
) ENGINE = {replicated}MergeTree
ORDER BY (service, deploy, started_us, version)
SETTINGS {settings};
