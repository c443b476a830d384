-- Game servers (P55 to P61): servers, their runs with the content of each, and what happened to them.

-- +goose Up
CREATE TABLE servers (
	id           INTEGER PRIMARY KEY AUTOINCREMENT,
	name         TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
	host_id      TEXT    NOT NULL REFERENCES hosts (id) ON DELETE CASCADE ON UPDATE CASCADE,
	port         INTEGER NOT NULL CHECK (port BETWEEN 1024 AND 65535),
	blueprint_id INTEGER NOT NULL REFERENCES blueprints (id) ON DELETE RESTRICT,
	user_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE RESTRICT,
	uid          TEXT    NOT NULL UNIQUE, -- also in the marker inside the directory
	directory_at INTEGER, -- when the host made the directory
	state        TEXT    NOT NULL DEFAULT 'stopped' CHECK (state IN ('stopped', 'starting', 'running', 'stopping', 'crashed')),
	state_at     INTEGER NOT NULL,
	created_at   INTEGER NOT NULL,
	deleted_at   INTEGER
);
-- Also of deleted servers, whose process may still run.
CREATE UNIQUE INDEX uq_servers_port ON servers (host_id, port);
CREATE INDEX ix_servers_user ON servers (user_id);
CREATE INDEX ix_servers_blueprint ON servers (blueprint_id);

-- The content and settings of a run do not change, whatever happens to the blueprint.
CREATE TABLE runs (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	server_id  INTEGER NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
	job_id     INTEGER NOT NULL, -- that starts it; no reference, as jobs.subject_id
	user_id    INTEGER REFERENCES users (id) ON DELETE SET NULL, -- who asked for it
	port       INTEGER NOT NULL,
	build_id   INTEGER NOT NULL, -- of the release
	blueprint  TEXT    NOT NULL, -- its name
	settings   TEXT    NOT NULL CHECK (json_valid(settings)),
	created_at INTEGER NOT NULL,
	started_at INTEGER, -- when the host's supervisor was asked to start the process
	ended_at   INTEGER,
	ended_how  TEXT    NOT NULL DEFAULT '',
	last_lines TEXT    NOT NULL DEFAULT '' -- of the console, if it ended by itself
);
CREATE INDEX ix_runs_server ON runs (server_id, id);
-- A server is one process.
CREATE UNIQUE INDEX uq_runs_process ON runs (server_id) WHERE started_at IS NOT NULL AND ended_at IS NULL;

-- The stack of a run, from the top.
CREATE TABLE run_overlays (
	run_id     INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
	position   INTEGER NOT NULL,
	overlay_id INTEGER NOT NULL, -- no reference, because the overlay may be deleted
	name       TEXT    NOT NULL,
	mounted    INTEGER NOT NULL CHECK (mounted IN (0, 1)), -- the overlay's own directory, not links to its items
	PRIMARY KEY (run_id, position)
) WITHOUT ROWID;
CREATE INDEX ix_run_overlays_mounted ON run_overlays (overlay_id, run_id) WHERE mounted = 1;
CREATE TABLE run_items (
	run_id       INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
	overlay_id   INTEGER NOT NULL,
	steam_id     TEXT    NOT NULL,
	title        TEXT    NOT NULL,
	time_updated INTEGER NOT NULL, -- in Unix seconds, as Steam says
	file_size    INTEGER NOT NULL,
	PRIMARY KEY (run_id, overlay_id, steam_id)
) WITHOUT ROWID;

CREATE TABLE server_events (
	id        INTEGER PRIMARY KEY AUTOINCREMENT,
	server_id INTEGER NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
	at        INTEGER NOT NULL,
	kind      TEXT    NOT NULL,
	text      TEXT    NOT NULL,
	user_id   INTEGER REFERENCES users (id) ON DELETE SET NULL,
	job_id    INTEGER -- no reference, as jobs.subject_id
);
CREATE INDEX ix_server_events_server ON server_events (server_id, id);

DROP VIEW job_subjects;
CREATE VIEW job_subjects (kind, id, name, user_id) AS
	SELECT 'overlay', id, name, user_id FROM overlays WHERE deleted_at IS NULL
	UNION ALL
	SELECT 'server', id, name, user_id FROM servers WHERE deleted_at IS NULL;

-- +goose Down
DROP VIEW job_subjects;
CREATE VIEW job_subjects (kind, id, name, user_id) AS
	SELECT 'overlay', id, name, user_id FROM overlays WHERE deleted_at IS NULL;
DROP TABLE server_events;
DROP TABLE run_items;
DROP TABLE run_overlays;
DROP TABLE runs;
DROP TABLE servers;
