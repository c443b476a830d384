-- Restarts of servers for updates (P63), and how many people played when.

-- +goose Up
ALTER TABLE servers ADD COLUMN restart_policy TEXT NOT NULL DEFAULT 'when empty'; -- as server.Policy writes it

-- What the next start of a running server would change. Without a row, nothing was compared yet.
CREATE TABLE server_updates (
	server_id  INTEGER PRIMARY KEY REFERENCES servers (id) ON DELETE CASCADE,
	compared   TEXT    NOT NULL, -- a hash of what the content depends on: while it is the same, it is not compared again
	content    TEXT    NOT NULL, -- a hash of what a start would take
	waits      TEXT    NOT NULL, -- what would change, in words; empty: nothing
	news       TEXT    NOT NULL, -- what is new, for players
	since      INTEGER,          -- when the update began to wait
	empty_at   INTEGER,          -- the first of the last checks that all found nobody
	restart_at INTEGER,          -- when the server is restarted whoever plays, as players were told
	warned     INTEGER NOT NULL DEFAULT 0, -- the last of the warnings that players were given, in minutes ahead
	held       TEXT    NOT NULL DEFAULT '', -- why the server is not restarted by itself
	-- the last restart for an update: its job, and the content that it was to bring
	job_id     INTEGER,          -- no reference, as jobs.subject_id
	tried      TEXT    NOT NULL DEFAULT '',
	CHECK ((waits = '') = (since IS NULL))
);

-- A row whenever the number of people who play has changed.
CREATE TABLE server_population (
	server_id INTEGER NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
	at        INTEGER NOT NULL,
	humans    INTEGER, -- NULL: the server did not run or did not answer
	PRIMARY KEY (server_id, at)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE server_population;
DROP TABLE server_updates;
ALTER TABLE servers DROP COLUMN restart_policy;
