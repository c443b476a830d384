-- Versions of items' files that hosts keep, and overlays that stay with one of them (P74).

-- +goose Up
CREATE TABLE item_versions (
	workshop_item_id INTEGER NOT NULL REFERENCES workshop_items (id) ON DELETE CASCADE,
	host_id          TEXT    NOT NULL REFERENCES hosts (id) ON DELETE CASCADE ON UPDATE CASCADE,
	time_updated     INTEGER NOT NULL, -- Unix seconds, as Steam gives it
	file_size        INTEGER NOT NULL,
	PRIMARY KEY (workshop_item_id, time_updated, host_id)
) WITHOUT ROWID;
CREATE INDEX ix_item_versions_host ON item_versions (host_id);
INSERT INTO item_versions (workshop_item_id, host_id, time_updated, file_size)
	SELECT workshop_item_id, host_id, downloaded_time_updated, downloaded_file_size FROM item_hosts WHERE last_downloaded_at IS NOT NULL;
ALTER TABLE overlay_workshop_items ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0; -- item_versions.time_updated; 0: the version that Steam offers
ALTER TABLE overlay_links ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0; -- that of the item when the link was made

-- +goose Down
ALTER TABLE overlay_links DROP COLUMN pinned;
ALTER TABLE overlay_workshop_items DROP COLUMN pinned;
DROP TABLE item_versions;
