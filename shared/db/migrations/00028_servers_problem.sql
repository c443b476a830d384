-- Whether a host can run servers.

-- +goose Up
ALTER TABLE hosts ADD COLUMN servers_problem TEXT NOT NULL DEFAULT ''; -- why it cannot, and what to do; empty: it can

-- +goose Down
ALTER TABLE hosts DROP COLUMN servers_problem;
