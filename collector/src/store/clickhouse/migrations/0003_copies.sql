-- What is in of a history that is copied into this database, part by part, each written down when all its rows are in.
CREATE TABLE IF NOT EXISTS copies {on_cluster} (
    source String,
    part String
) ENGINE = {replicated}MergeTree
ORDER BY (source, part)
SETTINGS {settings};
