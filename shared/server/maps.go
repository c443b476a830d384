package server

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"left4me/shared/db"
	"left4me/shared/vpk"
)

// Campaigns returns the campaigns in the items of a server's newest run, as far as their files have been read.
func (s *Store) Campaigns(ctx context.Context, serverID int64) (all []vpk.Campaign, err error) {
	_, err = db.Rows(ctx, s.db, func(row db.Scanner) (struct{}, error) {
		var text string
		var some []vpk.Campaign
		err := row.Scan(&text)
		if err == nil {
			err = json.Unmarshal([]byte(text), &some)
		}
		all = append(all, some...)
		return struct{}{}, err
	}, `SELECT c.campaigns FROM (SELECT DISTINCT steam_id, title, time_updated, file_size FROM run_items
				WHERE run_id = (SELECT id FROM runs WHERE server_id = :server AND started_at IS NOT NULL ORDER BY id DESC LIMIT 1)) i
			JOIN workshop_items w ON w.steam_id = i.steam_id
			JOIN item_contents c ON c.workshop_item_id = w.id AND c.time_updated = i.time_updated AND c.file_size = i.file_size
			WHERE c.campaigns <> '[]' ORDER BY i.title COLLATE NOCASE, i.steam_id`, sql.Named("server", serverID))
	if err != nil {
		return nil, fmt.Errorf("list the campaigns of server %d: %w", serverID, err)
	}
	return all, nil
}
