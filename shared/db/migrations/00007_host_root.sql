-- Where a host keeps its files, so that pages can name them.

-- +goose Up
ALTER TABLE hosts ADD COLUMN root TEXT NOT NULL DEFAULT ''; -- its LEFT4ME_ROOT; empty: not reported yet

-- +goose Down
ALTER TABLE hosts DROP COLUMN root;
