-- What is kept of a service's day when its records are gone, and its cells are folded.
CREATE TABLE days (
    service TEXT NOT NULL,
    start_us INTEGER NOT NULL,
    day TEXT NOT NULL,
    PRIMARY KEY (service, start_us)
) WITHOUT ROWID;
