-- What is linked: until a build has succeeded, an overlay's directory differs from the overlay's list of items.

-- +goose Up
-- The items to which an overlay's directory has a link. An index instead of a primary key, because an index can be replaced when
-- there are several hosts.
CREATE TABLE overlay_links (
	overlay_id       INTEGER NOT NULL REFERENCES overlays (id) ON DELETE CASCADE,
	workshop_item_id INTEGER NOT NULL REFERENCES workshop_items (id) ON DELETE RESTRICT
);
CREATE UNIQUE INDEX uq_overlay_links ON overlay_links (overlay_id, workshop_item_id);
-- Until now a build removed the links of items without a download.
INSERT INTO overlay_links (overlay_id, workshop_item_id)
	SELECT o.id, w.id FROM overlays o JOIN overlay_workshop_items i ON i.overlay_id = o.id JOIN workshop_items w ON w.id = i.workshop_item_id
	WHERE o.last_build_status = 'ok' AND w.last_downloaded_at IS NOT NULL AND w.file_url <> '';

-- +goose Down
DROP TABLE overlay_links;
