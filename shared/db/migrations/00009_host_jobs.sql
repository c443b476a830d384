-- Jobs that need a disk belong to one host (P45), and hosts do not block each other (P48).

-- +goose Up
DROP INDEX uq_jobs_queued_key;
DROP INDEX uq_jobs_live_key;
DROP INDEX ix_jobs_queued;
DROP TRIGGER tr_jobs_lock;
DROP TRIGGER tr_jobs_hold;
-- A resource of jobs.locks that ends in @ is the host's: in job_locks the host's id follows. A job that waits for the first host has
-- no host yet.
UPDATE jobs SET
	host_id = (SELECT id FROM hosts),
	locks = CASE operation
		WHEN 'collect_garbage' THEN '[{"resource":"game","write":false},{"resource":"game@","write":true}]'
		ELSE '[{"resource":"game","write":false},{"resource":"game@","write":false},{"resource":"overlay:' || subject_id || '@","write":true}]' END
WHERE finished_at IS NULL AND operation IN ('build_overlay', 'delete_overlay', 'collect_garbage');
DELETE FROM job_locks WHERE job_id IN (SELECT id FROM jobs WHERE finished_at IS NULL AND operation IN ('build_overlay', 'delete_overlay', 'collect_garbage'));
INSERT INTO job_locks (job_id, resource, write, held)
	SELECT j.id, (l.value ->> 'resource') || CASE WHEN l.value ->> 'resource' LIKE '%@' THEN COALESCE(j.host_id, '') ELSE '' END,
		l.value ->> 'write', j.state <> 'queued'
	FROM jobs j, json_each(j.locks) l
	WHERE j.finished_at IS NULL AND j.operation IN ('build_overlay', 'delete_overlay', 'collect_garbage');
CREATE UNIQUE INDEX uq_jobs_queued_key ON jobs (queued_key, COALESCE(host_id, '')) WHERE state = 'queued';
CREATE UNIQUE INDEX uq_jobs_live_key ON jobs (live_key, COALESCE(host_id, '')) WHERE finished_at IS NULL;
CREATE INDEX ix_jobs_queued ON jobs (host_id, created_at, id, operation) WHERE state = 'queued';
CREATE INDEX ix_jobs_host ON jobs (host_id) WHERE finished_at IS NULL;
-- +goose StatementBegin
CREATE TRIGGER tr_jobs_lock AFTER INSERT ON jobs
BEGIN
	INSERT INTO job_locks (job_id, resource, write)
	SELECT NEW.id, (value ->> 'resource') || CASE WHEN value ->> 'resource' LIKE '%@' THEN COALESCE(NEW.host_id, '') ELSE '' END, MAX(value ->> 'write')
	FROM json_each(NEW.locks) GROUP BY 2;
END;
-- +goose StatementEnd
-- Each claim takes what the job does not hold: all of it at first, and later what was taken from the interrupted job of a silent host.
-- +goose StatementBegin
CREATE TRIGGER tr_jobs_hold AFTER UPDATE OF attempt ON jobs WHEN NEW.attempt <> OLD.attempt
BEGIN
	UPDATE job_locks SET held = 1 WHERE job_id = NEW.id AND held = 0;
END;
-- +goose StatementEnd
-- A job that waited for the first host, or whose host has another id now.
-- +goose StatementBegin
CREATE TRIGGER tr_jobs_host AFTER UPDATE OF host_id ON jobs WHEN NEW.finished_at IS NULL
BEGIN
	UPDATE job_locks SET resource = substr(resource, 1, instr(resource, '@')) || NEW.host_id WHERE job_id = NEW.id AND instr(resource, '@') > 0;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tr_hosts_jobs AFTER UPDATE OF id ON hosts WHEN NEW.id <> OLD.id
BEGIN
	UPDATE jobs SET host_id = NEW.id WHERE host_id = OLD.id AND finished_at IS NULL;
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER tr_hosts_jobs;
DROP TRIGGER tr_jobs_host;
DROP TRIGGER tr_jobs_hold;
DROP TRIGGER tr_jobs_lock;
DROP INDEX ix_jobs_host;
DROP INDEX ix_jobs_queued;
DROP INDEX uq_jobs_live_key;
DROP INDEX uq_jobs_queued_key;
-- One host remains: the newest.
DELETE FROM jobs WHERE finished_at IS NULL AND host_id IN (SELECT id FROM hosts ORDER BY seen_at DESC, name LIMIT -1 OFFSET 1);
UPDATE jobs SET host_id = NULL, locks = CASE operation
		WHEN 'collect_garbage' THEN '[{"resource":"game","write":true}]'
		ELSE '[{"resource":"game","write":false},{"resource":"overlay:' || subject_id || '","write":true}]' END
WHERE finished_at IS NULL AND operation IN ('build_overlay', 'delete_overlay', 'collect_garbage');
DELETE FROM job_locks WHERE job_id IN (SELECT id FROM jobs WHERE finished_at IS NULL AND operation IN ('build_overlay', 'delete_overlay', 'collect_garbage'));
INSERT INTO job_locks (job_id, resource, write, held)
	SELECT j.id, l.value ->> 'resource', l.value ->> 'write', j.state <> 'queued' FROM jobs j, json_each(j.locks) l
	WHERE j.finished_at IS NULL AND j.operation IN ('build_overlay', 'delete_overlay', 'collect_garbage');
CREATE UNIQUE INDEX uq_jobs_queued_key ON jobs (queued_key) WHERE state = 'queued';
CREATE UNIQUE INDEX uq_jobs_live_key ON jobs (live_key) WHERE finished_at IS NULL;
CREATE INDEX ix_jobs_queued ON jobs (created_at, id, operation) WHERE state = 'queued';
-- +goose StatementBegin
CREATE TRIGGER tr_jobs_lock AFTER INSERT ON jobs
BEGIN
	INSERT INTO job_locks (job_id, resource, write)
	SELECT NEW.id, value ->> 'resource', MAX(value ->> 'write') FROM json_each(NEW.locks) GROUP BY 2;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tr_jobs_hold AFTER UPDATE OF state ON jobs WHEN OLD.state = 'queued' AND NEW.state = 'running'
BEGIN
	UPDATE job_locks SET held = 1 WHERE job_id = NEW.id;
END;
-- +goose StatementEnd
