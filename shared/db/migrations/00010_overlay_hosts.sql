-- Every overlay is on every host (P46): its directory, builds, links and files are a host's. What overlays and workshop_items say of builds
-- and downloads sums up the hosts.

-- +goose Up
CREATE TABLE overlay_hosts (
	overlay_id        INTEGER NOT NULL REFERENCES overlays (id) ON DELETE CASCADE,
	host_id           TEXT    NOT NULL REFERENCES hosts (id) ON DELETE CASCADE ON UPDATE CASCADE,
	directory_at      INTEGER, -- when the host made the directory
	revision          INTEGER NOT NULL DEFAULT 0, -- that the last successful build has read
	last_build_status TEXT    NOT NULL DEFAULT '' CHECK (last_build_status IN ('', 'ok', 'failed')),
	last_build_at     INTEGER,
	last_build_job_id INTEGER, -- no reference, as jobs.subject_id
	PRIMARY KEY (overlay_id, host_id)
) WITHOUT ROWID;
CREATE INDEX ix_overlay_hosts_host ON overlay_hosts (host_id);
-- There is at most one host yet.
INSERT INTO overlay_hosts (overlay_id, host_id, directory_at, revision, last_build_status, last_build_at, last_build_job_id)
	SELECT o.id, h.id, o.directory_at, CASE o.last_build_status WHEN 'ok' THEN o.revision ELSE 0 END, o.last_build_status, o.last_build_at, o.last_build_job_id
	FROM overlays o CROSS JOIN hosts h;
ALTER TABLE overlays DROP COLUMN directory_at;
CREATE INDEX ix_overlays_deleted ON overlays (deleted_at) WHERE deleted_at IS NOT NULL;

-- The items whose files a host has, and why it could not download others.
CREATE TABLE item_hosts (
	workshop_item_id        INTEGER NOT NULL REFERENCES workshop_items (id) ON DELETE CASCADE,
	host_id                 TEXT    NOT NULL REFERENCES hosts (id) ON DELETE CASCADE ON UPDATE CASCADE,
	last_error              TEXT    NOT NULL DEFAULT '', -- of a download of the file that Steam offers now
	last_downloaded_at      INTEGER,
	downloaded_time_updated INTEGER NOT NULL DEFAULT 0,
	downloaded_file_size    INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (workshop_item_id, host_id)
) WITHOUT ROWID;
CREATE INDEX ix_item_hosts_host ON item_hosts (host_id);
INSERT INTO item_hosts (workshop_item_id, host_id, last_error, last_downloaded_at, downloaded_time_updated, downloaded_file_size)
	SELECT w.id, h.id, CASE WHEN w.last_error LIKE 'download failed: %' THEN w.last_error ELSE '' END, w.last_downloaded_at,
		w.downloaded_time_updated, w.downloaded_file_size
	FROM workshop_items w CROSS JOIN hosts h WHERE w.last_downloaded_at IS NOT NULL OR w.last_error LIKE 'download failed: %';

ALTER TABLE overlay_links ADD COLUMN host_id TEXT REFERENCES hosts (id) ON DELETE CASCADE ON UPDATE CASCADE;
UPDATE overlay_links SET host_id = (SELECT id FROM hosts);
DELETE FROM overlay_links WHERE host_id IS NULL;
DROP INDEX uq_overlay_links;
CREATE UNIQUE INDEX uq_overlay_links ON overlay_links (overlay_id, workshop_item_id, host_id);
CREATE INDEX ix_overlay_links_host ON overlay_links (host_id, overlay_id);

-- Each overlay has a row for each host until that host has removed its directory.
-- +goose StatementBegin
CREATE TRIGGER tr_overlays_hosts AFTER INSERT ON overlays
BEGIN
	INSERT INTO overlay_hosts (overlay_id, host_id) SELECT NEW.id, id FROM hosts;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tr_hosts_overlays AFTER INSERT ON hosts
BEGIN
	INSERT INTO overlay_hosts (overlay_id, host_id) SELECT id, NEW.id FROM overlays;
	UPDATE overlays SET last_build_status = '' WHERE last_build_status = 'ok';
END;
-- +goose StatementEnd
-- An overlay is as good as on its worst host.
-- +goose StatementBegin
CREATE TRIGGER tr_overlay_hosts_built AFTER UPDATE OF last_build_status, last_build_at ON overlay_hosts
BEGIN
	UPDATE overlays SET
		last_build_status = (SELECT CASE WHEN MAX(last_build_status = 'failed') THEN 'failed' WHEN MIN(last_build_status = 'ok') THEN 'ok' ELSE '' END
			FROM overlay_hosts WHERE overlay_id = NEW.overlay_id),
		(last_build_at, last_build_job_id) = (SELECT last_build_at, last_build_job_id
			FROM overlay_hosts WHERE overlay_id = NEW.overlay_id ORDER BY last_build_status = 'failed' DESC, last_build_at DESC, last_build_job_id DESC LIMIT 1)
	WHERE id = NEW.overlay_id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tr_overlay_hosts_gone AFTER DELETE ON overlay_hosts
BEGIN
	UPDATE overlays SET
		last_build_status = (SELECT CASE WHEN MAX(last_build_status = 'failed') THEN 'failed' WHEN MIN(last_build_status = 'ok') THEN 'ok' ELSE '' END
			FROM overlay_hosts WHERE overlay_id = OLD.overlay_id),
		(last_build_at, last_build_job_id) = (SELECT last_build_at, last_build_job_id
			FROM overlay_hosts WHERE overlay_id = OLD.overlay_id ORDER BY last_build_status = 'failed' DESC, last_build_at DESC, last_build_job_id DESC LIMIT 1)
	WHERE id = OLD.overlay_id AND EXISTS (SELECT 1 FROM overlay_hosts WHERE overlay_id = OLD.overlay_id);
END;
-- +goose StatementEnd
DROP TRIGGER tr_jobs_build_failed;
-- +goose StatementBegin
CREATE TRIGGER tr_jobs_build_failed AFTER UPDATE OF state ON jobs WHEN NEW.operation = 'build_overlay' AND NEW.state = 'failed'
BEGIN
	UPDATE overlay_hosts SET last_build_status = 'failed', last_build_at = NEW.finished_at, last_build_job_id = NEW.id
	WHERE overlay_id = NEW.subject_id AND host_id = NEW.host_id;
END;
-- +goose StatementEnd
-- An item is as current as on the host that is furthest behind: the other columns of a MAX are those of its row.
-- +goose StatementBegin
CREATE TRIGGER tr_item_hosts_added AFTER INSERT ON item_hosts
BEGIN
	UPDATE workshop_items SET
		last_error = COALESCE((SELECT last_error FROM item_hosts WHERE workshop_item_id = NEW.workshop_item_id AND last_error <> '' LIMIT 1),
			CASE WHEN last_error LIKE 'download failed: %' THEN '' ELSE last_error END),
		(last_downloaded_at, downloaded_time_updated, downloaded_file_size) = (SELECT last_downloaded_at, COALESCE(updated, 0), COALESCE(size, 0) FROM (
			SELECT MAX(h.downloaded_time_updated <> w.time_updated OR h.downloaded_file_size <> w.file_size), h.last_downloaded_at,
				h.downloaded_time_updated AS updated, h.downloaded_file_size AS size
			FROM item_hosts h JOIN workshop_items w ON w.id = h.workshop_item_id WHERE h.workshop_item_id = NEW.workshop_item_id))
	WHERE id = NEW.workshop_item_id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tr_item_hosts_changed AFTER UPDATE OF last_error, last_downloaded_at, downloaded_time_updated, downloaded_file_size ON item_hosts
BEGIN
	UPDATE workshop_items SET
		last_error = COALESCE((SELECT last_error FROM item_hosts WHERE workshop_item_id = NEW.workshop_item_id AND last_error <> '' LIMIT 1),
			CASE WHEN last_error LIKE 'download failed: %' THEN '' ELSE last_error END),
		(last_downloaded_at, downloaded_time_updated, downloaded_file_size) = (SELECT last_downloaded_at, COALESCE(updated, 0), COALESCE(size, 0) FROM (
			SELECT MAX(h.downloaded_time_updated <> w.time_updated OR h.downloaded_file_size <> w.file_size), h.last_downloaded_at,
				h.downloaded_time_updated AS updated, h.downloaded_file_size AS size
			FROM item_hosts h JOIN workshop_items w ON w.id = h.workshop_item_id WHERE h.workshop_item_id = NEW.workshop_item_id))
	WHERE id = NEW.workshop_item_id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tr_item_hosts_gone AFTER DELETE ON item_hosts
BEGIN
	UPDATE workshop_items SET
		last_error = COALESCE((SELECT last_error FROM item_hosts WHERE workshop_item_id = OLD.workshop_item_id AND last_error <> '' LIMIT 1),
			CASE WHEN last_error LIKE 'download failed: %' THEN '' ELSE last_error END),
		(last_downloaded_at, downloaded_time_updated, downloaded_file_size) = (SELECT last_downloaded_at, COALESCE(updated, 0), COALESCE(size, 0) FROM (
			SELECT MAX(h.downloaded_time_updated <> w.time_updated OR h.downloaded_file_size <> w.file_size), h.last_downloaded_at,
				h.downloaded_time_updated AS updated, h.downloaded_file_size AS size
			FROM item_hosts h JOIN workshop_items w ON w.id = h.workshop_item_id WHERE h.workshop_item_id = OLD.workshop_item_id))
	WHERE id = OLD.workshop_item_id;
END;
-- +goose StatementEnd
-- What could not be downloaded is not what Steam offers now.
-- +goose StatementBegin
CREATE TRIGGER tr_workshop_items_file AFTER UPDATE OF time_updated, file_size ON workshop_items
	WHEN (NEW.time_updated, NEW.file_size) <> (OLD.time_updated, OLD.file_size)
BEGIN
	UPDATE item_hosts SET last_error = '' WHERE workshop_item_id = NEW.id AND last_error <> '';
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER tr_workshop_items_file;
DROP TRIGGER tr_item_hosts_gone;
DROP TRIGGER tr_item_hosts_changed;
DROP TRIGGER tr_item_hosts_added;
DROP TRIGGER tr_jobs_build_failed;
-- +goose StatementBegin
CREATE TRIGGER tr_jobs_build_failed AFTER UPDATE OF state ON jobs WHEN NEW.operation = 'build_overlay' AND NEW.state = 'failed'
BEGIN
	UPDATE overlays SET last_build_status = 'failed', last_build_at = NEW.finished_at, last_build_job_id = NEW.id WHERE id = NEW.subject_id;
END;
-- +goose StatementEnd
DROP TRIGGER tr_overlay_hosts_gone;
DROP TRIGGER tr_overlay_hosts_built;
DROP TRIGGER tr_hosts_overlays;
DROP TRIGGER tr_overlays_hosts;
-- One host remains: the newest.
CREATE TABLE links_of_one_host (
	overlay_id       INTEGER NOT NULL REFERENCES overlays (id) ON DELETE CASCADE,
	workshop_item_id INTEGER NOT NULL REFERENCES workshop_items (id) ON DELETE RESTRICT
);
INSERT INTO links_of_one_host SELECT overlay_id, workshop_item_id FROM overlay_links
	WHERE host_id = (SELECT id FROM hosts ORDER BY seen_at DESC, name LIMIT 1);
DROP TABLE overlay_links;
ALTER TABLE links_of_one_host RENAME TO overlay_links;
CREATE UNIQUE INDEX uq_overlay_links ON overlay_links (overlay_id, workshop_item_id);
DROP TABLE item_hosts;
DROP INDEX ix_overlays_deleted;
ALTER TABLE overlays ADD COLUMN directory_at INTEGER;
UPDATE overlays SET directory_at = (SELECT directory_at FROM overlay_hosts
	WHERE overlay_id = overlays.id AND host_id = (SELECT id FROM hosts ORDER BY seen_at DESC, name LIMIT 1));
DROP TABLE overlay_hosts;
