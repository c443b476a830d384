-- Links of items with other names than {steam_id}.vpk (content.md P71).

-- +goose Up
CREATE TABLE overlay_link_names (
	overlay_id       INTEGER NOT NULL,
	workshop_item_id INTEGER NOT NULL,
	name             TEXT    NOT NULL CHECK (name <> ''), -- without .vpk
	PRIMARY KEY (overlay_id, workshop_item_id),
	FOREIGN KEY (overlay_id, workshop_item_id) REFERENCES overlay_workshop_items (overlay_id, workshop_item_id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE UNIQUE INDEX uq_overlay_link_names ON overlay_link_names (overlay_id, name);

-- +goose Down
DROP TABLE overlay_link_names;
