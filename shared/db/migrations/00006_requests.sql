-- How often a person has made left4me ask Steam or build an overlay, and an index for counting what they own.

-- +goose Up
-- Each action moves this moment on, from now at the earliest. Actions are refused while it is too far ahead: see account.CountAction.
ALTER TABLE users ADD COLUMN actions_until INTEGER NOT NULL DEFAULT 0;
CREATE INDEX ix_overlays_user ON overlays (user_id);

-- +goose Down
DROP INDEX ix_overlays_user;
ALTER TABLE users DROP COLUMN actions_until;
