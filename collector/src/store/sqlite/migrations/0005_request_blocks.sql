-- Request records of one batch, packed by columns and compressed: up to a thousand together. What a question picks
-- blocks by stands beside them; the costliest one's numbers tell whether a block is worth opening.
CREATE TABLE request_blocks (
    block INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    deploy TEXT NOT NULL,
    host TEXT NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    instructions INTEGER,
    cpu_ns INTEGER,
    records INTEGER NOT NULL,
    packed BLOB NOT NULL
);

CREATE INDEX request_blocks_by_time ON request_blocks (service, last_us);
CREATE INDEX request_blocks_by_age ON request_blocks (first_us);
