-- Times are Unix milliseconds unless a comment says otherwise; booleans are 0 or 1.

-- +goose Up
CREATE TABLE users (
	id            INTEGER PRIMARY KEY AUTOINCREMENT,
	name          TEXT    NOT NULL COLLATE NOCASE UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
	password_hash TEXT    NOT NULL,
	is_admin      INTEGER NOT NULL DEFAULT 0 CHECK (is_admin IN (0, 1)),
	is_disabled   INTEGER NOT NULL DEFAULT 0 CHECK (is_disabled IN (0, 1)),
	created_at    INTEGER NOT NULL,
	last_sign_in_at INTEGER
);

-- A session is known by the SHA-256 of its token: who reads this table cannot sign in with it. Pages name it by its id.
CREATE TABLE sessions (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	token_hash TEXT    NOT NULL UNIQUE CHECK (length(token_hash) = 64),
	user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	address    TEXT    NOT NULL DEFAULT '',
	user_agent TEXT    NOT NULL DEFAULT ''
);
CREATE INDEX ix_sessions_user ON sessions (user_id);
CREATE INDEX ix_sessions_expiry ON sessions (expires_at);

-- One row for each name, address, name and address together, and known device with failed sign-ins: `name:…`, `address:…`,
-- `both:…`, `device:…`.
CREATE TABLE sign_in_failures (
	subject  TEXT    NOT NULL PRIMARY KEY,
	failures INTEGER NOT NULL CHECK (failures > 0),
	last_at  INTEGER NOT NULL,
	retry_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX ix_sign_in_failures_last ON sign_in_failures (last_at);

CREATE TABLE overlays (
	id                INTEGER PRIMARY KEY AUTOINCREMENT,
	name              TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
	type              TEXT    NOT NULL,
	user_id           INTEGER REFERENCES users (id) ON DELETE RESTRICT, -- NULL: system-wide
	-- what the marker inside the directory must say, so that another database's directory is not taken for this one's
	uid               TEXT    NOT NULL UNIQUE,
	-- when the game host made the directory
	directory_at      INTEGER,
	-- counts the changes of what the overlay should hold: a build may only say `ok` for the revision that it read
	revision          INTEGER NOT NULL DEFAULT 1,
	last_build_status TEXT    NOT NULL DEFAULT '' CHECK (last_build_status IN ('', 'ok', 'failed')),
	last_build_at     INTEGER,
	last_build_job_id INTEGER, -- no reference, as jobs.overlay_id
	created_at        INTEGER NOT NULL,
	deleted_at        INTEGER
);
CREATE UNIQUE INDEX uq_overlay_name_system ON overlays (name) WHERE user_id IS NULL AND deleted_at IS NULL;
CREATE UNIQUE INDEX uq_overlay_name_per_user ON overlays (user_id, name) WHERE user_id IS NOT NULL AND deleted_at IS NULL;

CREATE TABLE workshop_items (
	id                 INTEGER PRIMARY KEY AUTOINCREMENT,
	steam_id           TEXT    NOT NULL UNIQUE CHECK (steam_id <> '' AND steam_id NOT GLOB '*[^0-9]*'),
	title              TEXT    NOT NULL DEFAULT '',
	filename           TEXT    NOT NULL DEFAULT '',
	file_url           TEXT    NOT NULL DEFAULT '',
	file_size          INTEGER NOT NULL DEFAULT 0 CHECK (file_size >= 0),
	time_updated       INTEGER NOT NULL DEFAULT 0, -- Unix seconds, as Steam gives it
	preview_url        TEXT    NOT NULL DEFAULT '',
	last_error         TEXT    NOT NULL DEFAULT '',
	last_downloaded_at INTEGER,
	-- time_updated and file_size of the file that was downloaded last: where they differ, an update is waiting
	downloaded_time_updated INTEGER NOT NULL DEFAULT 0,
	downloaded_file_size    INTEGER NOT NULL DEFAULT 0,
	created_at         INTEGER NOT NULL
);

CREATE TABLE overlay_workshop_items (
	overlay_id       INTEGER NOT NULL REFERENCES overlays (id) ON DELETE CASCADE,
	workshop_item_id INTEGER NOT NULL REFERENCES workshop_items (id) ON DELETE RESTRICT,
	added_at         INTEGER NOT NULL,
	PRIMARY KEY (overlay_id, workshop_item_id)
) WITHOUT ROWID;
CREATE INDEX ix_overlay_workshop_items_item ON overlay_workshop_items (workshop_item_id);

CREATE TABLE jobs (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	operation   TEXT    NOT NULL,
	state       TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'cancelling', 'succeeded', 'failed', 'cancelled')),
	user_id     INTEGER REFERENCES users (id) ON DELETE SET NULL, -- NULL: no person asked
	overlay_id  INTEGER, -- no reference: a job outlives its overlay, and ids never come back
	-- the fencing number: how often the job was claimed
	attempt     INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
	-- how many of its processes were lost
	lost        INTEGER NOT NULL DEFAULT 0 CHECK (lost >= 0),
	-- what a run of it holds (P33): [{"resource":"game","write":false},…]
	locks       TEXT    NOT NULL CHECK (json_array_length(locks) > 0),
	-- from when on it holds back newer jobs that it could not run beside (P36); NULL: never
	impatient_at INTEGER,
	worker      TEXT    NOT NULL DEFAULT '',
	-- until when the owner's word is not needed; 0: handed back, free to be taken over
	lease_until INTEGER,
	error       TEXT    NOT NULL DEFAULT '',
	items_done  INTEGER NOT NULL DEFAULT 0,
	items_total INTEGER NOT NULL DEFAULT 0,
	bytes_done  INTEGER NOT NULL DEFAULT 0,
	bytes_total INTEGER NOT NULL DEFAULT 0,
	current     TEXT    NOT NULL DEFAULT '',
	created_at  INTEGER NOT NULL,
	started_at  INTEGER,
	finished_at INTEGER,
	CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
	CHECK ((state IN ('running', 'cancelling')) = (lease_until IS NOT NULL)),
	CHECK ((attempt = 0) = (started_at IS NULL)),
	CHECK (operation NOT IN ('build_overlay', 'delete_overlay') OR overlay_id IS NOT NULL)
);
-- Coalescing (P34), the one refresh (P30) and the one deletion (P9) are the database's word, not a habit of its clients.
CREATE UNIQUE INDEX uq_jobs_queued_build ON jobs (overlay_id) WHERE operation = 'build_overlay' AND state = 'queued';
CREATE UNIQUE INDEX uq_jobs_live_refresh ON jobs (operation)
	WHERE operation = 'refresh_workshop_items' AND state IN ('queued', 'running', 'cancelling');
CREATE UNIQUE INDEX uq_jobs_live_delete ON jobs (overlay_id) WHERE operation = 'delete_overlay' AND finished_at IS NULL;
CREATE INDEX ix_jobs_queued ON jobs (created_at, id, operation) WHERE state = 'queued';
CREATE INDEX ix_jobs_impatient ON jobs (impatient_at) WHERE state = 'queued' AND impatient_at IS NOT NULL;
CREATE INDEX ix_jobs_active ON jobs (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX ix_jobs_user ON jobs (user_id, id);
CREATE INDEX ix_jobs_overlay ON jobs (overlay_id, id);
-- After the one above: of two that would do, SQLite takes the newer.
CREATE INDEX ix_jobs_live ON jobs (overlay_id, operation) WHERE finished_at IS NULL;
CREATE INDEX ix_jobs_ended ON jobs (state, id) WHERE finished_at IS NOT NULL;
CREATE INDEX ix_jobs_refresh ON jobs (id) WHERE operation = 'refresh_workshop_items';

-- What a live job holds or will hold (P33). The rows of an ended job are gone.
CREATE TABLE job_locks (
	job_id   INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
	resource TEXT    NOT NULL,
	write    INTEGER NOT NULL CHECK (write IN (0, 1)),
	held     INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1)),
	PRIMARY KEY (job_id, resource)
) WITHOUT ROWID;
CREATE INDEX ix_job_locks_held ON job_locks (resource, write) WHERE held = 1;

-- The locks come with the job and follow its state in the same statement, so that no job is ever seen without its locks,
-- and enqueueing and claiming are one statement each, wherever the database is.
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
-- +goose StatementBegin
CREATE TRIGGER tr_jobs_release AFTER UPDATE OF state ON jobs WHEN NEW.finished_at IS NOT NULL
BEGIN
	DELETE FROM job_locks WHERE job_id = NEW.id;
END;
-- +goose StatementEnd
-- However a build fails, by its own word or because its process was lost, its overlay is not a good one.
-- +goose StatementBegin
CREATE TRIGGER tr_jobs_build_failed AFTER UPDATE OF state ON jobs WHEN NEW.operation = 'build_overlay' AND NEW.state = 'failed'
BEGIN
	UPDATE overlays SET last_build_status = 'failed', last_build_at = NEW.finished_at, last_build_job_id = NEW.id WHERE id = NEW.overlay_id;
END;
-- +goose StatementEnd

CREATE TABLE job_logs (
	job_id    INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
	seq       INTEGER NOT NULL,
	stream    TEXT    NOT NULL CHECK (stream IN ('stdout', 'stderr')),
	logged_at INTEGER NOT NULL,
	line      TEXT    NOT NULL,
	PRIMARY KEY (job_id, seq)
) WITHOUT ROWID;

-- What each host agent has last said of itself and its disk.
CREATE TABLE hosts (
	name        TEXT    NOT NULL PRIMARY KEY CHECK (name <> ''),
	command     TEXT    NOT NULL, -- the command of localrun that it is part of
	version     TEXT    NOT NULL,
	seen_at     INTEGER NOT NULL,
	disk_total  INTEGER NOT NULL,
	disk_free   INTEGER NOT NULL,
	-- when what follows was counted; NULL: not yet
	measured_at   INTEGER,
	cache_files   INTEGER NOT NULL DEFAULT 0,
	cache_bytes   INTEGER NOT NULL DEFAULT 0,
	overlays      INTEGER NOT NULL DEFAULT 0,
	overlay_bytes INTEGER NOT NULL DEFAULT 0 -- of real files: links into the cache weigh nothing
) WITHOUT ROWID;

-- The slots of schedules (P30): each is fired once. One without a job was only seen, by a host that began to watch the
-- schedule with it; a later one that is not here was missed.
CREATE TABLE schedule_slots (
	schedule TEXT    NOT NULL CHECK (schedule <> ''),
	slot     INTEGER NOT NULL,
	job_id   INTEGER, -- no reference: a slot that was fired stays fired
	fired_at INTEGER,
	PRIMARY KEY (schedule, slot),
	CHECK ((job_id IS NULL) = (fired_at IS NULL))
) WITHOUT ROWID;

-- +goose Down
DROP TABLE schedule_slots;
DROP TABLE hosts;
DROP TABLE job_logs;
DROP TABLE job_locks;
DROP TABLE jobs;
DROP TABLE overlay_workshop_items;
DROP TABLE workshop_items;
DROP TABLE overlays;
DROP TABLE sign_in_failures;
DROP TABLE sessions;
DROP TABLE users;
