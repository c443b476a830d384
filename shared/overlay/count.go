package overlay

import (
	"context"
	"fmt"
)

// TypeCount is how many overlays there are of one type.
type TypeCount struct {
	Type     Type
	Overlays int
}

// Count counts the overlays of each type that has any.
func (s *Store) Count(ctx context.Context) ([]TypeCount, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT type, COUNT(*) FROM overlays WHERE deleted_at IS NULL GROUP BY type ORDER BY type`)
	if err != nil {
		return nil, fmt.Errorf("count overlays: %w", err)
	}
	defer rows.Close()
	var all []TypeCount
	for rows.Next() {
		var c TypeCount
		if err := rows.Scan(&c.Type, &c.Overlays); err != nil {
			return nil, fmt.Errorf("count overlays: %w", err)
		}
		all = append(all, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count overlays: %w", err)
	}
	return all, nil
}
