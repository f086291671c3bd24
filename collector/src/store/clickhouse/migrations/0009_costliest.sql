-- The costliest request records of each group, in that order; a row without a record says that some were left out which cost
-- less than that, of one deploy and endpoint.
CREATE TABLE IF NOT EXISTS costliest {on_cluster} (
    service LowCardinality(String),
    deploy LowCardinality(String),
    host LowCardinality(String),
    endpoint LowCardinality(String),
    cost UInt128 CODEC(ZSTD(1)),
    start_us UInt64 CODEC(ZSTD(1)),
    instructions Nullable(UInt64) CODEC(ZSTD(1)),
    cpu_ns Nullable(UInt64) CODEC(ZSTD(1)),
    arrived_us UInt64 CODEC(ZSTD(1)),
    position UInt32 CODEC(ZSTD(1)),
    record String CODEC(ZSTD(1))
) ENGINE = {replicated}MergeTree
PARTITION BY toYYYYMMDD(fromUnixTimestamp64Micro(toInt64(start_us), 'UTC'))
ORDER BY (service, cost, start_us, arrived_us, position)
SETTINGS {settings}, index_granularity = 256;

-- Collectors of before number records from 0, and do not write the table above: what they bring is refused from now on.
ALTER TABLE requests {on_cluster} ADD CONSTRAINT IF NOT EXISTS numbered_from_1 CHECK position > 0;

-- Whatever came before was left out. Said twice it is the same.
INSERT INTO costliest (service, deploy, endpoint, start_us, cost)
SELECT service, deploy, endpoint, max(start_us), 1 + max(bitOr(
    bitShiftLeft(if(instructions IS NULL, toUInt128(0), 1 + toUInt128(assumeNotNull(instructions))), 64),
    if(cpu_ns IS NULL, toUInt128(0), 1 + toUInt128(assumeNotNull(cpu_ns)))
))
FROM requests GROUP BY service, deploy, endpoint, intDiv(start_us, 3600000000);
