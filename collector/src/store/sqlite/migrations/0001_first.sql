-- Every time is in µs since the Unix epoch. Counts are 64-bit patterns: as unsigned as in the wire format.

CREATE TABLE batches (
    uuid BLOB PRIMARY KEY,
    digest BLOB NOT NULL,
    received_us INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX batches_by_age ON batches (received_us);

CREATE TABLE services (
    service TEXT PRIMARY KEY,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL
) WITHOUT ROWID;

-- flag_name is '' in the cells that hold every request.
CREATE TABLE cells (
    service TEXT NOT NULL,
    start_us INTEGER NOT NULL,
    width_us INTEGER NOT NULL,
    deploy TEXT NOT NULL,
    kind INTEGER NOT NULL,
    endpoint TEXT NOT NULL,
    cluster TEXT NOT NULL,
    host_group INTEGER NOT NULL,
    instruction_source INTEGER NOT NULL,
    age INTEGER NOT NULL,
    flag_name TEXT NOT NULL,
    flag_value TEXT NOT NULL,
    n INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    scaled INTEGER NOT NULL,
    metrics BLOB NOT NULL,
    PRIMARY KEY (
        service, start_us, width_us, deploy, kind, endpoint, cluster, host_group,
        instruction_source, age, flag_name, flag_value
    )
) WITHOUT ROWID;

CREATE INDEX cells_by_deploy ON cells (service, deploy, start_us, width_us);

CREATE TABLE requests (
    service TEXT NOT NULL,
    deploy TEXT NOT NULL,
    host TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    start_us INTEGER NOT NULL,
    instructions INTEGER,
    cpu_ns INTEGER,
    record BLOB NOT NULL
);

CREATE INDEX requests_by_time ON requests (service, start_us);
CREATE INDEX requests_by_age ON requests (start_us);

CREATE TABLE processes (
    service TEXT NOT NULL,
    deploy TEXT NOT NULL,
    host TEXT NOT NULL,
    source TEXT NOT NULL,
    start_us INTEGER NOT NULL,
    width_us INTEGER NOT NULL,
    age_us INTEGER NOT NULL,
    record BLOB NOT NULL
);

CREATE INDEX processes_by_time ON processes (service, start_us);
CREATE INDEX processes_by_age ON processes (start_us);

CREATE TABLE deploys (
    deploy_row INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    id TEXT NOT NULL,
    started_us INTEGER NOT NULL,
    posted_us INTEGER,
    ended_us INTEGER,
    replaced TEXT,
    author TEXT,
    title TEXT,
    link TEXT,
    discovered INTEGER NOT NULL,
    replaced_given INTEGER NOT NULL,
    UNIQUE (service, id, started_us)
);

CREATE INDEX deploys_by_time ON deploys (service, started_us);

CREATE TABLE reports (
    deploy_row INTEGER PRIMARY KEY REFERENCES deploys (deploy_row) ON DELETE CASCADE,
    judged_us INTEGER NOT NULL,
    report TEXT NOT NULL
);
