package workshop

import (
	"context"
	"fmt"

	"left4me/shared/db"
)

// Counts is the number of items by state.
type Counts struct {
	// Ready items are downloaded and current, Waiting ones will be downloaded, Failing ones cannot be. Unused ones are not
	// downloaded because they are not used by any overlay.
	Ready, Waiting, Failing, Unused int
}

// Count counts the items. Its states are those of Item.State, except that it does not matter which overlays are linked to them.
func (s *Store) Count(ctx context.Context) (Counts, error) {
	c, err := db.Row(ctx, s.db, scanCounts, `SELECT
		COUNT(*) FILTER (WHERE state = 'failing'), COUNT(*) FILTER (WHERE state = 'unused'),
		COUNT(*) FILTER (WHERE state = 'waiting'), COUNT(*) FILTER (WHERE state = 'ready')
		FROM (SELECT CASE
			WHEN `+failedSQL+` OR file_url = '' THEN 'failing'
			WHEN last_downloaded_at IS NULL AND NOT `+neededSQL+` THEN 'unused'
			WHEN `+neededSQL+` AND (last_downloaded_at IS NULL OR `+otherVersionSQL+`) THEN 'waiting'
			ELSE 'ready' END AS state FROM workshop_items w)`)
	if err != nil {
		return Counts{}, fmt.Errorf("count items: %w", err)
	}
	return c, nil
}

func scanCounts(row db.Scanner) (c Counts, err error) {
	err = row.Scan(&c.Failing, &c.Unused, &c.Waiting, &c.Ready)
	return c, err
}
