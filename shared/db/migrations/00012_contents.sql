-- What is in the files of items (content.md P70).

-- +goose Up
CREATE TABLE item_contents (
	workshop_item_id INTEGER NOT NULL REFERENCES workshop_items (id) ON DELETE CASCADE,
	-- the version of the file that was read
	time_updated     INTEGER NOT NULL,
	file_size        INTEGER NOT NULL,
	unknown          TEXT    NOT NULL DEFAULT '', -- why the content is unknown; empty: it is known
	kind             TEXT    NOT NULL DEFAULT '',
	-- what addoninfo.txt says
	title            TEXT    NOT NULL DEFAULT '',
	author           TEXT    NOT NULL DEFAULT '',
	version          TEXT    NOT NULL DEFAULT '',
	campaigns        TEXT    NOT NULL DEFAULT '[]' CHECK (json_valid(campaigns)), -- a list of vpk.Campaign
	mutations        TEXT    NOT NULL DEFAULT '[]' CHECK (json_valid(mutations)), -- a list of names of game modes
	PRIMARY KEY (workshop_item_id, time_updated, file_size),
	CHECK ((unknown = '') = (kind <> ''))
) WITHOUT ROWID;

-- +goose Down
DROP TABLE item_contents;
