-- What the games of running servers have last said (P62). The rows of a server go with its run.

-- +goose Up
CREATE TABLE server_status (
	server_id    INTEGER PRIMARY KEY REFERENCES servers (id) ON DELETE CASCADE,
	run_id       INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
	answering    INTEGER NOT NULL CHECK (answering IN (0, 1)),
	answering_at INTEGER NOT NULL, -- since when it is, or is not
	map          TEXT    NOT NULL,
	mode         TEXT    NOT NULL, -- '' if it is not known
	slots        INTEGER NOT NULL,
	connected    INTEGER NOT NULL, -- as A2S_INFO counts: humans, perhaps bots, and those who are about to join
	bots         INTEGER NOT NULL, -- as A2S_INFO counts
	humans       INTEGER NOT NULL,
	empty_at     INTEGER, -- since when it is known to have no human player
	stale        INTEGER NOT NULL CHECK (stale IN (0, 1)), -- the next check asks what only RCON tells
	changed_at   INTEGER NOT NULL
);
CREATE TABLE server_players (
	server_id INTEGER NOT NULL REFERENCES server_status (server_id) ON DELETE CASCADE,
	position  INTEGER NOT NULL,
	name      TEXT    NOT NULL,
	score     INTEGER NOT NULL,
	since     INTEGER NOT NULL,
	number    INTEGER NOT NULL, -- the game's, by which a player is kicked; 0 if it is not known
	bot       INTEGER NOT NULL CHECK (bot IN (0, 1)),
	PRIMARY KEY (server_id, position)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE server_players;
DROP TABLE server_status;
