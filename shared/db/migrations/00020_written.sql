-- What a server's games have written into its directory, counted when a run has ended; NULL: not counted.

-- +goose Up
ALTER TABLE runs ADD COLUMN files INTEGER;
ALTER TABLE runs ADD COLUMN bytes INTEGER;

-- +goose Down
ALTER TABLE runs DROP COLUMN bytes;
ALTER TABLE runs DROP COLUMN files;
