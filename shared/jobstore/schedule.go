package jobstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"left4me/shared/db"
	"left4me/shared/job"
)

// keepSlots is how long fired slots are kept: much longer than any timer tries again.
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

// Fire enqueues a schedule's job for one of its slots: once, however many timers fire the slot and however often. Later timers
// get the job of the first. The zero slot means now, and only enqueues.
func (s *Store) Fire(ctx context.Context, schedule job.Schedule, slot time.Time) (*Enqueued, error) {
	var e *Enqueued
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) (err error) {
		if !slot.IsZero() {
			e, err = db.Row(ctx, q, func(row db.Scanner) (*Enqueued, error) {
				var fired Enqueued
				err := row.Scan(&fired.ID, &fired.State)
				return &fired, err
			}, firedSQL, slotArgs(schedule, slot)...)
			if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		if e, err = s.Enqueue(ctx, q, Request{Operation: schedule.Operation}); err != nil || slot.IsZero() {
			return err
		}
		if err := db.Flush(ctx, q); err != nil {
			return err
		}
		if err := db.Later(ctx, q, fireSQL, append(slotArgs(schedule, slot), sql.Named("job", e.ID), sql.Named("now", s.millis()))...); err != nil {
			return err
		}
		return db.Later(ctx, q, forgetSlotsSQL, sql.Named("schedule", schedule.Name), sql.Named("before", db.Millis(slot.Add(-keepSlots))))
	})
	if err != nil {
		return nil, fmt.Errorf("fire schedule %s: %w", schedule.Name, err)
	}
	return e, nil
}

// Missed reports whether a slot in the past was not fired. The first slot that is ever asked about counts as fired: a new
// left4me has nothing to catch up on.
func (s *Store) Missed(ctx context.Context, schedule job.Schedule, slot time.Time) (bool, error) {
	args := slotArgs(schedule, slot)
	_, err := s.db.ExecContext(ctx, watchSQL, args...)
	var missed bool
	if err == nil {
		missed, err = db.Row(ctx, s.db, db.Value[bool], missedSQL, args...)
	}
	if err != nil {
		return false, fmt.Errorf("look for slots of schedule %s: %w", schedule.Name, err)
	}
	return missed, nil
}
