-- run: projection
-- Lets the settler find the jobs that run without reading all that ended.
CREATE INDEX job_unended ON job (requested_slot) WHERE ended_slot IS NULL;
