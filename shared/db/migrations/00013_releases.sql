-- The releases of the game on each host (P49), and the newest one that Steam offered when the host last asked (P51).

-- +goose Up
CREATE TABLE releases (
	host_id      TEXT    NOT NULL REFERENCES hosts (id) ON DELETE CASCADE ON UPDATE CASCADE,
	build_id     INTEGER NOT NULL CHECK (build_id > 0), -- Steam's
	bytes        INTEGER NOT NULL,
	installed_at INTEGER NOT NULL, -- servers start with the release that was installed last
	PRIMARY KEY (host_id, build_id)
) WITHOUT ROWID;
ALTER TABLE hosts ADD COLUMN newest_build_id INTEGER; -- NULL: not known
ALTER TABLE hosts ADD COLUMN game_checked_at INTEGER;

-- +goose Down
ALTER TABLE hosts DROP COLUMN game_checked_at;
ALTER TABLE hosts DROP COLUMN newest_build_id;
DROP TABLE releases;
