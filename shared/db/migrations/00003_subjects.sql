-- Jobs about anything: a subject of any kind, an argument, and coalescing that knows no operation.

-- +goose Up
-- Index by index, because they name what changes.
DROP INDEX uq_jobs_queued_build;
DROP INDEX uq_jobs_live_refresh;
DROP INDEX uq_jobs_live_delete;
DROP INDEX uq_jobs_live_garbage;
DROP INDEX ix_jobs_impatient;
DROP INDEX ix_jobs_overlay;
DROP INDEX ix_jobs_live;
DROP INDEX ix_jobs_refresh;
ALTER TABLE jobs RENAME COLUMN impatient_at TO starving_at;
-- What the job is about: ('overlay', 5), or ('', NULL) for the whole system. No reference, because a job outlives its subject.
ALTER TABLE jobs RENAME COLUMN overlay_id TO subject_id;
ALTER TABLE jobs ADD COLUMN subject_kind TEXT NOT NULL DEFAULT '' CHECK (subject_kind = '' OR subject_id IS NOT NULL);
ALTER TABLE jobs ADD COLUMN argument TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(argument));
-- Operation, subject and argument of a request that an older job answers: while that one is queued (queued_key), or until it has
-- ended (live_key). Both NULL: never.
ALTER TABLE jobs ADD COLUMN queued_key TEXT;
ALTER TABLE jobs ADD COLUMN live_key TEXT CHECK (live_key IS NULL OR queued_key IS NULL);
UPDATE jobs SET subject_kind = 'overlay' WHERE subject_id IS NOT NULL;
UPDATE jobs SET queued_key = 'build_overlay overlay:' || subject_id || ' {}' WHERE finished_at IS NULL AND operation = 'build_overlay';
UPDATE jobs SET live_key = 'delete_overlay overlay:' || subject_id || ' {}' WHERE finished_at IS NULL AND operation = 'delete_overlay';
UPDATE jobs SET live_key = operation || '  {}' WHERE finished_at IS NULL AND operation IN ('refresh_workshop_items', 'collect_garbage');
CREATE UNIQUE INDEX uq_jobs_queued_key ON jobs (queued_key) WHERE state = 'queued';
CREATE UNIQUE INDEX uq_jobs_live_key ON jobs (live_key) WHERE finished_at IS NULL;
CREATE INDEX ix_jobs_starving ON jobs (starving_at) WHERE state = 'queued' AND starving_at IS NOT NULL;
CREATE INDEX ix_jobs_subject ON jobs (subject_kind, subject_id, id);
-- After the one above: of two indexes that would do, SQLite takes the newer.
CREATE INDEX ix_jobs_live ON jobs (subject_kind, subject_id, operation) WHERE finished_at IS NULL;
CREATE INDEX ix_jobs_operation ON jobs (operation, id);
-- The name and the owner of what a job is about, for pages. A kind of subject joins by replacing this view.
CREATE VIEW job_subjects (kind, id, name, user_id) AS
	SELECT 'overlay', id, name, user_id FROM overlays WHERE deleted_at IS NULL;

-- +goose Down
DROP VIEW job_subjects;
DROP INDEX ix_jobs_operation;
DROP INDEX ix_jobs_live;
DROP INDEX ix_jobs_subject;
DROP INDEX ix_jobs_starving;
DROP INDEX uq_jobs_live_key;
DROP INDEX uq_jobs_queued_key;
ALTER TABLE jobs DROP COLUMN live_key;
ALTER TABLE jobs DROP COLUMN queued_key;
ALTER TABLE jobs DROP COLUMN argument;
ALTER TABLE jobs DROP COLUMN subject_kind;
ALTER TABLE jobs RENAME COLUMN subject_id TO overlay_id;
ALTER TABLE jobs RENAME COLUMN starving_at TO impatient_at;
CREATE UNIQUE INDEX uq_jobs_queued_build ON jobs (overlay_id) WHERE operation = 'build_overlay' AND state = 'queued';
CREATE UNIQUE INDEX uq_jobs_live_refresh ON jobs (operation)
	WHERE operation = 'refresh_workshop_items' AND state IN ('queued', 'running', 'cancelling');
CREATE UNIQUE INDEX uq_jobs_live_delete ON jobs (overlay_id) WHERE operation = 'delete_overlay' AND finished_at IS NULL;
CREATE UNIQUE INDEX uq_jobs_live_garbage ON jobs (operation)
	WHERE operation = 'collect_garbage' AND state IN ('queued', 'running', 'cancelling');
CREATE INDEX ix_jobs_impatient ON jobs (impatient_at) WHERE state = 'queued' AND impatient_at IS NOT NULL;
CREATE INDEX ix_jobs_overlay ON jobs (overlay_id, id);
CREATE INDEX ix_jobs_live ON jobs (overlay_id, operation) WHERE finished_at IS NULL;
CREATE INDEX ix_jobs_refresh ON jobs (id) WHERE operation = 'refresh_workshop_items';
