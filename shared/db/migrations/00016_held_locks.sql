-- All jobs read `game`, and `game@` at their host. Only a job that runs alone asks who does, and looks at the few jobs with a lease. Without
-- these locks in the index, a claim writes a quarter less. The index has a new name, so that this cannot be applied twice.

-- +goose Up
DROP INDEX ix_job_locks_held;
CREATE INDEX ix_job_locks_exclusive ON job_locks (resource, write) WHERE held = 1 AND (write = 1 OR instr(resource, ':') > 0);

-- +goose Down
DROP INDEX ix_job_locks_exclusive;
CREATE INDEX ix_job_locks_held ON job_locks (resource, write) WHERE held = 1;
