-- Webhooks (P82): who is told what happens, and what they are told.

-- +goose Up
CREATE TABLE webhooks (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	-- What it is about; both NULL: everything.
	overlay_id INTEGER REFERENCES overlays (id) ON DELETE CASCADE,
	server_id  INTEGER REFERENCES servers (id) ON DELETE CASCADE,
	user_id    INTEGER REFERENCES users (id) ON DELETE SET NULL, -- who added it
	url        TEXT    NOT NULL,
	host       TEXT    NOT NULL, -- of the URL; its name on pages
	format     TEXT    NOT NULL CHECK (format IN ('json', 'discord')),
	events     TEXT    NOT NULL CHECK (json_array_length(events) > 0), -- the names of those that it wants
	secret     TEXT    NOT NULL,
	is_private INTEGER NOT NULL CHECK (is_private IN (0, 1)), -- whether an administrator has allowed addresses that are not public
	created_at INTEGER NOT NULL,
	CHECK (overlay_id IS NULL OR server_id IS NULL)
);
CREATE INDEX ix_webhooks_overlay ON webhooks (overlay_id);
CREATE INDEX ix_webhooks_server ON webhooks (server_id);
CREATE INDEX ix_webhooks_user ON webhooks (user_id);

CREATE TABLE webhook_deliveries (
	id           INTEGER PRIMARY KEY AUTOINCREMENT,
	webhook_id   INTEGER NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
	uid          TEXT    NOT NULL UNIQUE DEFAULT (lower(hex(randomblob(16)))), -- its id for the receiver
	event        TEXT    NOT NULL,
	body         TEXT    NOT NULL CHECK (json_valid(body)),
	created_at   INTEGER NOT NULL,
	attempts     INTEGER NOT NULL DEFAULT 0,
	attempted_at INTEGER,
	next_at      INTEGER, -- when it is to be tried; NULL: it was delivered, or given up
	delivered_at INTEGER,
	answer       TEXT    NOT NULL DEFAULT '', -- to the last attempt, for people
	CHECK (delivered_at IS NULL OR next_at IS NULL)
);
CREATE INDEX ix_webhook_deliveries_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX ix_webhook_deliveries_next ON webhook_deliveries (next_at, webhook_id) WHERE next_at IS NOT NULL;

-- The files that an overlay had when its content was last compared, to tell what has changed since.
CREATE TABLE overlay_contents (
	overlay_id       INTEGER NOT NULL REFERENCES overlays (id) ON DELETE CASCADE,
	workshop_item_id INTEGER NOT NULL REFERENCES workshop_items (id) ON DELETE RESTRICT,
	time_updated     INTEGER NOT NULL,
	file_size        INTEGER NOT NULL,
	PRIMARY KEY (overlay_id, workshop_item_id)
) WITHOUT ROWID;
INSERT INTO overlay_contents SELECT l.overlay_id, l.workshop_item_id, MAX(h.downloaded_time_updated), h.downloaded_file_size
	FROM overlay_links l JOIN item_hosts h ON h.workshop_item_id = l.workshop_item_id AND h.host_id = l.host_id GROUP BY 1, 2;

-- However a build fails, also when its process was lost: overlay_hosts says so (tr_jobs_build_failed). A build that fails again is no news.
-- +goose StatementBegin
CREATE TRIGGER tr_overlay_hosts_failed AFTER UPDATE OF last_build_status ON overlay_hosts WHEN NEW.last_build_status = 'failed' AND OLD.last_build_status <> 'failed'
BEGIN
	INSERT INTO webhook_deliveries (webhook_id, event, body, created_at, next_at)
	SELECT w.id, 'build_failed', json_object('at', NEW.last_build_at, 'overlay', json_object('id', o.id, 'name', o.name), 'job_id', NEW.last_build_job_id,
		'host', CASE WHEN (SELECT COUNT(*) FROM hosts) > 1 THEN h.name END, 'text', j.error), NEW.last_build_at, NEW.last_build_at
	FROM overlays o JOIN hosts h ON h.id = NEW.host_id JOIN jobs j ON j.id = NEW.last_build_job_id JOIN webhooks w ON w.overlay_id = o.id OR w.overlay_id IS NULL AND w.server_id IS NULL
	WHERE o.id = NEW.overlay_id AND o.deleted_at IS NULL AND EXISTS (SELECT 1 FROM json_each(w.events) WHERE value = 'build_failed');
END;
-- +goose StatementEnd

-- A SELECT with a join or a subquery would make each look at the view read all rows.
DROP VIEW job_subjects;
CREATE VIEW job_subjects (kind, id, name, user_id) AS
	SELECT 'overlay', id, name, user_id FROM overlays WHERE deleted_at IS NULL
	UNION ALL
	SELECT 'server', id, name, user_id FROM servers WHERE deleted_at IS NULL
	UNION ALL
	SELECT 'webhook', id, host, user_id FROM webhooks;

-- +goose Down
DROP VIEW job_subjects;
CREATE VIEW job_subjects (kind, id, name, user_id) AS
	SELECT 'overlay', id, name, user_id FROM overlays WHERE deleted_at IS NULL
	UNION ALL
	SELECT 'server', id, name, user_id FROM servers WHERE deleted_at IS NULL;
DROP TRIGGER tr_overlay_hosts_failed;
DROP TABLE overlay_contents;
DROP TABLE webhook_deliveries;
DROP TABLE webhooks;
