package blueprint

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/overlay"
	"left4me/shared/problem"
)

// Layer is an overlay in a stack.
type Layer struct {
	OverlayID int64
	Name      string
	// LastBuildStatus is the overlay's.
	LastBuildStatus string
}

// MaxLayers is how many overlays a stack can have.
const MaxLayers = 100

// Stack returns the overlays of a blueprint, from the top.
func (s *Store) Stack(ctx context.Context, id int64) ([]Layer, error) {
	layers, err := db.Rows(ctx, s.db, func(row db.Scanner) (l Layer, err error) {
		err = row.Scan(&l.OverlayID, &l.Name, &l.LastBuildStatus)
		return l, err
	}, `SELECT o.id, o.name, o.last_build_status FROM blueprint_overlays b JOIN overlays o ON o.id = b.overlay_id
		WHERE b.blueprint_id = :id ORDER BY b.position`, sql.Named("id", id))
	if err != nil {
		return nil, fmt.Errorf("read the stack of blueprint %d: %w", id, err)
	}
	return layers, nil
}

// Choices returns the overlays that u may put into the stack of a blueprint and that are not in it, by name. It returns at most 200.
func (s *Store) Choices(ctx context.Context, u account.User, id int64) ([]overlay.Choice, error) {
	all, err := db.Rows(ctx, s.db, func(row db.Scanner) (c overlay.Choice, err error) {
		err = row.Scan(&c.ID, &c.Name)
		return c, err
	}, `SELECT o.id, o.name FROM overlays o WHERE o.deleted_at IS NULL AND `+overlay.Visible+`
		AND NOT EXISTS (SELECT 1 FROM blueprint_overlays b WHERE b.blueprint_id = :id AND b.overlay_id = o.id)
		ORDER BY o.name COLLATE NOCASE, o.id LIMIT 200`, append(overlay.VisibleArgs(u), sql.Named("id", id))...)
	if err != nil {
		return nil, fmt.Errorf("list the overlays beside blueprint %d: %w", id, err)
	}
	return all, nil
}

// order numbers a stack from 1, in the order of its positions, with the overlay :overlay, if it is there, at :to.
const order = `UPDATE blueprint_overlays AS b SET position = ranked.n FROM (
	SELECT overlay_id, ROW_NUMBER() OVER (ORDER BY CASE WHEN overlay_id <> :overlay THEN position
		WHEN :to > position THEN :to + 0.5 ELSE :to - 0.5 END) AS n
	FROM blueprint_overlays WHERE blueprint_id = :id) AS ranked
	WHERE b.blueprint_id = :id AND b.overlay_id = ranked.overlay_id`

// Add puts an overlay that u may see on top of the stack of a blueprint that u may change, and enqueues a build of it if it was not compared
// with the others there. Errors are problems: 404 when there is no such overlay, 409 when it is in the stack already, 400 when the stack is full.
func (s *Store) Add(ctx context.Context, u account.User, id, overlayID int64) error {
	args := append(overlay.VisibleArgs(u), sql.Named("id", id), sql.Named("overlay", overlayID), sql.Named("most", MaxLayers), sql.Named("to", 0))
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		compared, err := db.Row(ctx, q, db.Value[bool], `INSERT INTO blueprint_overlays (blueprint_id, overlay_id, position) SELECT b.id, o.id, 0
			FROM blueprints b, overlays o WHERE b.id = :id AND o.id = :overlay AND o.deleted_at IS NULL AND `+overlay.Visible+`
			AND (SELECT COUNT(*) FROM blueprint_overlays WHERE blueprint_id = :id) < :most RETURNING `+allCompared, args...)
		switch {
		case db.IsUnique(err):
			return problem.Conflict("This overlay is in the stack already.")
		case errors.Is(err, sql.ErrNoRows):
			return s.notAdded(ctx, q, id, overlayID)
		case err != nil:
			return err
		}
		if err := db.Later(ctx, q, order, args...); err != nil || compared {
			return err
		}
		_, err = s.jobs.Enqueue(ctx, q, overlay.BuildOf(overlayID, u.ID))
		return err
	})
	return problem.Wrap(err, "add overlay %d to blueprint %d", overlayID, id)
}

// allCompared is whether the files of the overlay :overlay were compared with those of all others in the stack of the blueprint :id, as they
// were when each was last built (content.md P72).
const allCompared = `NOT EXISTS (SELECT 1 FROM blueprint_overlays o WHERE o.blueprint_id = :id AND o.overlay_id <> :overlay AND NOT EXISTS (
	SELECT 1 FROM overlay_conflicts c JOIN overlay_conflicts a ON a.overlay_id = c.overlay_id AND a.other_id = c.overlay_id
		JOIN overlay_conflicts b ON b.overlay_id = c.other_id AND b.other_id = c.other_id
	WHERE c.overlay_id = MIN(o.overlay_id, :overlay) AND c.other_id = MAX(o.overlay_id, :overlay) AND c.compared = a.compared || ' ' || b.compared))`

// notAdded returns the problem of an overlay that was not added to a stack.
func (s *Store) notAdded(ctx context.Context, q db.Querier, id, overlayID int64) error {
	n, err := db.Row(ctx, q, db.Value[int], `SELECT COUNT(*) FROM blueprint_overlays WHERE blueprint_id = :id`, sql.Named("id", id))
	if err != nil {
		return err
	}
	if n >= MaxLayers {
		return problem.Invalid("A stack has at most %d overlays.", MaxLayers)
	}
	return problem.NotFound("There is no overlay %d that you could add. It may have been deleted.", overlayID)
}

// Move gives an overlay in the stack of a blueprint that u may change another place; to counts from the top, and the first is 1. Places
// before the first and after the last are those. The error is a problem (404) when the overlay is not in the stack.
func (s *Store) Move(ctx context.Context, id, overlayID int64, to int) error {
	return s.reorder(ctx, id, overlayID, to, `SELECT COUNT(*) FROM blueprint_overlays WHERE blueprint_id = :id AND overlay_id = :overlay`)
}

// Remove takes an overlay out of the stack of a blueprint. The error is a problem (404) when it is not there.
func (s *Store) Remove(ctx context.Context, id, overlayID int64) error {
	return s.reorder(ctx, id, overlayID, 0, `DELETE FROM blueprint_overlays WHERE blueprint_id = :id AND overlay_id = :overlay RETURNING 1`)
}

// reorder runs a statement that returns a number other than 0 if the overlay is in the stack, and then numbers the stack.
func (s *Store) reorder(ctx context.Context, id, overlayID int64, to int, statement string) error {
	args := []any{sql.Named("id", id), sql.Named("overlay", overlayID), sql.Named("to", to)}
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		found, err := db.Rows(ctx, q, db.Value[int], statement, args[:2]...)
		if err != nil {
			return err
		}
		if len(found) == 0 || found[0] == 0 {
			return problem.NotFound("This overlay is not in the stack any more.")
		}
		return db.Later(ctx, q, order, args...)
	})
	return problem.Wrap(err, "change the stack of blueprint %d", id)
}
