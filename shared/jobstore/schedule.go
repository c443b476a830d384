package jobstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"left4me/shared/db"
	"left4me/shared/job"
)

// keepSlots is how long it is remembered that a slot was fired: far longer than any timer tries again.
const keepSlots = 60 * 24 * time.Hour

const (
	firedSQL = `
SELECT s.job_id, COALESCE(j.state, '') FROM schedule_slots s LEFT JOIN jobs j ON j.id = s.job_id
WHERE s.schedule = :schedule AND s.slot = :slot AND s.job_id IS NOT NULL`

	fireSQL = `
INSERT INTO schedule_slots (schedule, slot, job_id, fired_at) VALUES (:schedule, :slot, :job, :now)
ON CONFLICT (schedule, slot) DO UPDATE SET job_id = excluded.job_id, fired_at = excluded.fired_at`

	forgetSlotsSQL = `DELETE FROM schedule_slots WHERE schedule = :schedule AND slot < :before`

	watchSQL = `
INSERT INTO schedule_slots (schedule, slot)
SELECT :schedule, :slot WHERE NOT EXISTS (SELECT 1 FROM schedule_slots WHERE schedule = :schedule)`

	missedSQL = `SELECT NOT EXISTS (SELECT 1 FROM schedule_slots WHERE schedule = :schedule AND slot = :slot)`
)

func slotArgs(s job.Schedule, slot time.Time) []any {
	return []any{sql.Named("schedule", s.Name), sql.Named("slot", db.Millis(slot))}
}

// Fire enqueues what a schedule asks for, for one of its slots, for nobody: once, however many timers name the slot and
// however often. Whoever comes later gets the job that the first one got. The zero slot means now, and is Enqueue alone.
func (s *Store) Fire(ctx context.Context, schedule job.Schedule, slot time.Time) (Enqueued, error) {
	var e Enqueued
	err := s.DB.InTx(ctx, func(ctx context.Context, q db.Querier) (err error) {
		e = Enqueued{}
		if !slot.IsZero() {
			if fired, err := row(ctx, q, firedSQL, slotArgs(schedule, slot), &e.ID, &e.State); fired || err != nil {
				return err
			}
		}
		if e, err = s.Enqueue(ctx, q, Request{Operation: schedule.Operation}); err != nil || slot.IsZero() {
			return err
		}
		if _, err := q.ExecContext(ctx, fireSQL, append(slotArgs(schedule, slot), sql.Named("job", e.ID), sql.Named("now", s.now()))...); err != nil {
			return err
		}
		_, err = q.ExecContext(ctx, forgetSlotsSQL, sql.Named("schedule", schedule.Name), sql.Named("before", db.Millis(slot.Add(-keepSlots))))
		return err
	})
	if err != nil {
		return Enqueued{}, fmt.Errorf("fire schedule %s: %w", schedule.Name, err)
	}
	return e, nil
}

// Missed reports whether a slot that has come was not fired. Watching a schedule begins with the first slot that anybody
// asks about, which therefore is not missed: a new left4me has nothing to make up for.
func (s *Store) Missed(ctx context.Context, schedule job.Schedule, slot time.Time) (bool, error) {
	args := slotArgs(schedule, slot)
	var missed bool
	_, err := s.DB.ExecContext(ctx, watchSQL, args...)
	if err == nil {
		err = s.DB.QueryRowContext(ctx, missedSQL, args...).Scan(&missed)
	}
	if err != nil {
		return false, fmt.Errorf("look for slots of schedule %s: %w", schedule.Name, err)
	}
	return missed, nil
}
