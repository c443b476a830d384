-- Blueprints (P52 to P54): what servers are started from.

-- +goose Up
CREATE TABLE blueprints (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	name       TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
	user_id    INTEGER REFERENCES users (id) ON DELETE RESTRICT, -- NULL: system-wide, as of overlays
	settings   TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(settings)), -- what differs from the defaults of the program
	created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX uq_blueprint_name_system ON blueprints (name) WHERE user_id IS NULL;
CREATE UNIQUE INDEX uq_blueprint_name_per_user ON blueprints (user_id, name) WHERE user_id IS NOT NULL;

CREATE TABLE blueprint_overlays (
	blueprint_id INTEGER NOT NULL REFERENCES blueprints (id) ON DELETE CASCADE,
	overlay_id   INTEGER NOT NULL REFERENCES overlays (id) ON DELETE CASCADE,
	position     INTEGER NOT NULL, -- from the top, 1 is the first
	PRIMARY KEY (blueprint_id, overlay_id)
) WITHOUT ROWID;
CREATE INDEX ix_blueprint_overlays_overlay ON blueprint_overlays (overlay_id);

-- +goose Down
DROP TABLE blueprint_overlays;
DROP TABLE blueprints;
