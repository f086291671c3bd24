-- Who judges roll-outs, and until when. Each renewal is a row, the newest counts.
CREATE TABLE IF NOT EXISTS watch_lease {on_cluster} (
    version UInt64,
    holder UUID,
    until_us UInt64
) ENGINE = {replicated}MergeTree
ORDER BY version
SETTINGS {settings};
