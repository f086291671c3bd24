-- Hosts are held against those of their cluster. Of older records it is not known.
ALTER TABLE processes ADD COLUMN cluster TEXT NOT NULL DEFAULT '';
