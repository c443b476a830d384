-- What a console that somebody watches has said last (P64).

-- +goose Up
ALTER TABLE servers ADD COLUMN watched_until INTEGER NOT NULL DEFAULT 0; -- until when its host copies the console
CREATE TABLE console_lines (
	id        INTEGER PRIMARY KEY AUTOINCREMENT,
	server_id INTEGER NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
	line      TEXT    NOT NULL
);
CREATE INDEX ix_console_lines_server ON console_lines (server_id, id);

-- +goose Down
DROP TABLE console_lines;
ALTER TABLE servers DROP COLUMN watched_until;
