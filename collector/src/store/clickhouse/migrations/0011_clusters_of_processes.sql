-- Hosts are held against those of their cluster. Of older records it is not known.
ALTER TABLE processes {on_cluster} ADD COLUMN IF NOT EXISTS cluster LowCardinality(String) DEFAULT '';
