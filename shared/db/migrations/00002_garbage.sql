-- What nobody needs any more in the cache of a host, and the job that removes it.

-- +goose Up
-- what collect_garbage would remove, counted at measured_at; NULL: not known
ALTER TABLE hosts ADD COLUMN garbage_files INTEGER;
ALTER TABLE hosts ADD COLUMN garbage_bytes INTEGER;
CREATE UNIQUE INDEX uq_jobs_live_garbage ON jobs (operation)
	WHERE operation = 'collect_garbage' AND state IN ('queued', 'running', 'cancelling');

-- +goose Down
DROP INDEX uq_jobs_live_garbage;
ALTER TABLE hosts DROP COLUMN garbage_bytes;
ALTER TABLE hosts DROP COLUMN garbage_files;
