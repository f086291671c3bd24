-- What of the timer's own cost was taken off for each call, and what may be left of it, in thousandths of the unit: the
-- largest of all processes; 0 of what was kept before.
ALTER TABLE profiles {on_cluster}
    ADD COLUMN IF NOT EXISTS taken_off_milli SimpleAggregateFunction(max, UInt64),
    ADD COLUMN IF NOT EXISTS left_milli SimpleAggregateFunction(max, UInt64);
