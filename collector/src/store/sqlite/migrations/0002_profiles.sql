-- Profiles are added up while they come: a row for each replicate of what a profile is of.
CREATE TABLE profiles (
    service TEXT NOT NULL,
    deploy TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    kind INTEGER NOT NULL,
    timer TEXT NOT NULL,
    unit TEXT NOT NULL,
    taken INTEGER NOT NULL,
    instruction_source INTEGER NOT NULL,
    age INTEGER NOT NULL,
    replicate INTEGER NOT NULL,
    from_us INTEGER NOT NULL,
    until_us INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    lost_samples INTEGER NOT NULL,
    tree BLOB NOT NULL,
    UNIQUE (
        service, deploy, endpoint, kind, timer, unit, taken, instruction_source, age, replicate
    )
);

CREATE INDEX profiles_by_age ON profiles (until_us);
