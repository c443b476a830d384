-- Items that are disabled in an overlay (P73), and what becomes of those that Steam does not offer any more (P75).

-- +goose Up
ALTER TABLE overlay_workshop_items ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1));
ALTER TABLE overlays ADD COLUMN keeps_lost INTEGER NOT NULL DEFAULT 1 CHECK (keeps_lost IN (0, 1)); -- links to the last copy of what Steam has lost
ALTER TABLE workshop_items ADD COLUMN lost_at INTEGER; -- when Steam was first seen to offer no download; NULL: it does, or it is not known

-- +goose Down
ALTER TABLE workshop_items DROP COLUMN lost_at;
ALTER TABLE overlays DROP COLUMN keeps_lost;
ALTER TABLE overlay_workshop_items DROP COLUMN disabled;
