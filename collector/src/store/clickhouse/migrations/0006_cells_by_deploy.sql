-- Cells are ordered by time. Where those of a deploy are not is told by the deploys of each granule, so that the others need not be read.
ALTER TABLE cells {on_cluster} ADD INDEX IF NOT EXISTS deploys deploy TYPE set(256) GRANULARITY 1;

ALTER TABLE cells {on_cluster} MATERIALIZE INDEX deploys;
