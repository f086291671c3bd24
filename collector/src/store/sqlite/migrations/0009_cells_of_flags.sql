-- What flags cost is asked of cells that are kept per flag alone: most services have none, or few.
CREATE INDEX cells_of_flags ON cells (service, start_us) WHERE flag_name != '';
