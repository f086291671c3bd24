-- What was done about alerts: of those without a row here nothing.
CREATE TABLE alerts (
    service TEXT NOT NULL,
    deploy TEXT NOT NULL,
    started_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (service, deploy, started_us)
) WITHOUT ROWID;
