-- Files that several items of an overlay, or several overlays of a blueprint, have with different content (content.md P72).

-- +goose Up
CREATE TABLE overlay_conflicts (
	overlay_id INTEGER NOT NULL REFERENCES overlays (id) ON DELETE CASCADE,
	other_id   INTEGER NOT NULL REFERENCES overlays (id) ON DELETE CASCADE, -- the same overlay: between its own items
	-- which files were compared: a name for those of the overlay, and for two overlays both names with a space between them
	compared   TEXT    NOT NULL,
	paths      INTEGER NOT NULL, -- how many paths conflict
	conflicts  TEXT    NOT NULL CHECK (json_valid(conflicts)), -- a list of workshop.Conflict, of the most important ones
	PRIMARY KEY (overlay_id, other_id),
	CHECK (overlay_id <= other_id)
) WITHOUT ROWID;
CREATE INDEX ix_overlay_conflicts_other ON overlay_conflicts (other_id);

-- +goose Down
DROP TABLE overlay_conflicts;
