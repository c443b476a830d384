-- Servers that strangers may see (P66).

-- +goose Up
ALTER TABLE servers ADD COLUMN is_public INTEGER NOT NULL DEFAULT 0 CHECK (is_public IN (0, 1));

-- +goose Down
ALTER TABLE servers DROP COLUMN is_public;
