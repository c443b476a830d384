-- Tokens with which programs use left4me as the person who made them. Only a hash of each is stored.

-- +goose Up
CREATE TABLE api_tokens (
	id           INTEGER PRIMARY KEY AUTOINCREMENT,
	token_hash   TEXT    NOT NULL UNIQUE CHECK (length(token_hash) = 64),
	user_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	name         TEXT    NOT NULL,
	writes       INTEGER NOT NULL CHECK (writes IN (0, 1)),
	created_at   INTEGER NOT NULL,
	expires_at   INTEGER NOT NULL,
	last_used_at INTEGER
);
CREATE INDEX ix_api_tokens_user ON api_tokens (user_id);

-- +goose Down
DROP TABLE api_tokens;
