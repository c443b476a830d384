-- Several hosts: each is known by the id that its agent keeps in LEFT4ME_ROOT/host.json, not by its name.

-- +goose Up
-- The host whose disk the job needs; NULL: none. No reference, because a job outlives its host.
ALTER TABLE jobs ADD COLUMN host_id TEXT;
CREATE TABLE hosts_by_id (
	id          TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),
	name        TEXT    NOT NULL CHECK (name <> ''), -- for people; not unique
	address     TEXT    NOT NULL DEFAULT '', -- that players connect to
	root        TEXT    NOT NULL DEFAULT '', -- its LEFT4ME_ROOT; empty: not reported yet
	-- what tells apart the agents of two copies of one disk: the boot of the machine, and the directory on its disk. Both '': no
	-- agent has taken the row yet
	boot        TEXT    NOT NULL DEFAULT '',
	disk        TEXT    NOT NULL DEFAULT '',
	command     TEXT    NOT NULL, -- the command of localrun that the agent is part of
	version     TEXT    NOT NULL,
	seen_at     INTEGER NOT NULL,
	stopped_at  INTEGER, -- when the agent last said that it ends; NULL: it runs, or did not say so
	disk_total  INTEGER NOT NULL,
	disk_free   INTEGER NOT NULL,
	-- when what follows was counted; NULL: not yet
	measured_at   INTEGER,
	cache_files   INTEGER NOT NULL DEFAULT 0,
	cache_bytes   INTEGER NOT NULL DEFAULT 0,
	overlays      INTEGER NOT NULL DEFAULT 0,
	overlay_bytes INTEGER NOT NULL DEFAULT 0, -- of real files: links into the cache weigh nothing
	-- what collect_garbage would remove; NULL: not known
	garbage_files INTEGER,
	garbage_bytes INTEGER
) WITHOUT ROWID;
-- Until now there was one host. Rows of older reports are of its former names. Its agent gives the row its id.
INSERT INTO hosts_by_id (id, name, root, command, version, seen_at, disk_total, disk_free, measured_at, cache_files, cache_bytes, overlays, overlay_bytes,
		garbage_files, garbage_bytes)
	SELECT 'first', name, root, command, version, seen_at, disk_total, disk_free, measured_at, cache_files, cache_bytes, overlays, overlay_bytes,
		garbage_files, garbage_bytes FROM hosts ORDER BY seen_at DESC, name LIMIT 1;
DROP TABLE hosts;
ALTER TABLE hosts_by_id RENAME TO hosts;

-- +goose Down
ALTER TABLE jobs DROP COLUMN host_id;
CREATE TABLE hosts_by_name (
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
	overlay_bytes INTEGER NOT NULL DEFAULT 0, -- of real files: links into the cache weigh nothing
	garbage_files INTEGER,
	garbage_bytes INTEGER,
	root        TEXT    NOT NULL DEFAULT ''
) WITHOUT ROWID;
INSERT INTO hosts_by_name SELECT name, command, version, seen_at, disk_total, disk_free, measured_at, cache_files, cache_bytes, overlays,
		overlay_bytes, garbage_files, garbage_bytes, root FROM hosts WHERE true
	ON CONFLICT (name) DO NOTHING;
DROP TABLE hosts;
ALTER TABLE hosts_by_name RENAME TO hosts;
