package account

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"left4me/shared/db"
)

// Limits are how much a person may own, and how often they may make left4me work. All are at least 1.
type Limits struct {
	// Overlays is the number of overlays. Those whose directories are still to be removed count.
	Overlays int
	// OverlayItems is the number of items in one overlay, and Items that in all overlays of the person together.
	OverlayItems, Items int
	// ActionsPerMinute is the number of actions that make left4me ask Steam, build an overlay or send something: so many at once, and so many a minute.
	ActionsPerMinute int
}

// CountAction counts an action of u that makes left4me ask Steam, build an overlay or send something. It is one statement, so that of several requests
// at once not too many pass. The database refuses it, and so the transaction q, if u has reached Limits.ActionsPerMinute. Pass the error,
// which a transaction may only return from its commit, through Refused.
//
// users.actions_until is the "theoretical arrival time" of the generic cell rate algorithm.
func CountAction(ctx context.Context, q db.Querier, now time.Time, u User) error {
	if u.Limits == nil {
		return nil
	}
	// A moment more than a minute ahead was stored while the clock was wrong.
	return db.RowsLater(ctx, q, func([]int64) {}, db.Value[int64], `UPDATE users SET actions_until = CASE
			WHEN actions_until NOT BETWEEN :now AND :end THEN :now + :each
			WHEN actions_until <= :end - :each THEN actions_until + :each
			ELSE NULL -- which the column refuses
		END WHERE id = :id RETURNING id`,
		sql.Named("each", u.Limits.each().Milliseconds()), sql.Named("now", db.Millis(now)), sql.Named("end", db.Millis(now.Add(time.Minute))), sql.Named("id", u.ID))
}

// each is the time between two actions at the highest rate.
func (l *Limits) each() time.Duration { return time.Minute / time.Duration(l.ActionsPerMinute) }

// Refused returns err, or a problem (429) if err says that u has reached Limits.ActionsPerMinute.
func (u User) Refused(err error) error {
	if !db.IsNull(err, "users.actions_until") {
		return err
	}
	return tooEarly(u.Limits.each(), fmt.Sprintf("Nothing was changed: you may add items, refresh, build and create overlays, and test webhooks, %d times a minute.", u.Limits.ActionsPerMinute))
}
