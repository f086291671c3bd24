-- The endpoints that a service is known by, so that no more than a number of them is counted apart. When one was
-- counted last, to the day.
CREATE TABLE endpoints (
    service TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    counted_us INTEGER NOT NULL,
    PRIMARY KEY (service, endpoint)
) WITHOUT ROWID;

CREATE INDEX endpoints_by_age ON endpoints (counted_us);

INSERT INTO endpoints (service, endpoint, counted_us)
SELECT service, endpoint, max(start_us) FROM cells GROUP BY service, endpoint;

-- How far the process's clock was ahead of the collector's; NULL where it could not be told from it.
ALTER TABLE processes ADD COLUMN clock_ahead_us INTEGER;
