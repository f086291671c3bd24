-- Cells that begin before are kept in less detail: step 1 is folded over hosts and at least a minute wide, step 2
-- at least an hour. Each cell is in one row alone. Folded over hosts, its host_group is 255.
CREATE TABLE folded (
    step INTEGER PRIMARY KEY,
    until_us INTEGER NOT NULL
);
