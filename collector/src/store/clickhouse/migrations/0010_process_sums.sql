-- What of a process record its service's weight is made of, where that can be added up here: not with a sketch of users, and
-- not of what an older collector wrote.
ALTER TABLE processes {on_cluster}
    ADD COLUMN IF NOT EXISTS summed Bool DEFAULT false,
    ADD COLUMN IF NOT EXISTS cpu_ns UInt64 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS instructions Nullable(UInt64) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS absent_because LowCardinality(Nullable(String)),
    ADD COLUMN IF NOT EXISTS requests UInt64 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS errors UInt64 CODEC(ZSTD(1));
