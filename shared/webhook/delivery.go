package webhook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/problem"
)

// Delivery is one row of webhook_deliveries: an event for one webhook.
type Delivery struct {
	ID    int64
	Event Event
	// Attempts counts those that were begun, and AttemptedAt is when the last one was.
	Attempts               int
	CreatedAt, AttemptedAt time.Time
	// NextAt is when it is to be tried; zero: it was delivered, or given up.
	NextAt      time.Time
	DeliveredAt time.Time
	// Answer is what came of the last attempt, for people.
	Answer string
}

// pauses are those after each attempt that failed. Together they are an hour; then the delivery is given up.
var pauses = []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 20 * time.Minute}

// giveUpAfter is how old deliveries may become that have to wait because the webhook does not answer.
const giveUpAfter = time.Hour

// keptDeliveries is how many deliveries of a webhook are kept that have ended.
const keptDeliveries = 50

// EnqueueDue enqueues the jobs of the webhooks that have deliveries to be tried now, unless one has not ended, and reports whether there are
// any. Every agent calls it regularly.
func (s *Store) EnqueueDue(ctx context.Context) (bool, error) {
	due, err := db.Rows(ctx, s.db, db.Value[int64], `SELECT DISTINCT d.webhook_id FROM webhook_deliveries d WHERE d.next_at <= :now
		AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.finished_at IS NULL AND j.subject_kind = :kind AND j.subject_id = d.webhook_id) LIMIT 100`,
		s.nowArg(), sql.Named("kind", job.Webhooks))
	if err == nil && len(due) > 0 {
		var requests []jobstore.Request
		for _, id := range due {
			requests = append(requests, jobstore.Request{Operation: job.DeliverWebhook, Subject: job.Webhook(id)})
		}
		_, err = s.jobs.EnqueueAll(ctx, s.db, requests)
	}
	if err != nil {
		return false, fmt.Errorf("look for deliveries of webhooks: %w", err)
	}
	return len(due) > 0, nil
}

// Test adds a delivery that tests a webhook for u, and enqueues the job that sends it. The error is a problem (429) if u has tested too often.
func (s *Store) Test(ctx context.Context, u account.User, id int64) (e *jobstore.Enqueued, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := account.CountAction(ctx, q, s.now(), u); err != nil {
			return err
		}
		if err := db.Later(ctx, q, `INSERT INTO webhook_deliveries (webhook_id, event, body, created_at, next_at)
			SELECT id, :event, json_object('at', :now, 'text', 'This is a test that ' || :user || ' has asked for.'), :now, :now FROM webhooks WHERE id = :id`,
			sql.Named("event", Test), s.nowArg(), sql.Named("user", u.Name), sql.Named("id", id)); err != nil {
			return err
		}
		e, err = s.jobs.Enqueue(ctx, q, jobstore.Request{Operation: job.DeliverWebhook, Subject: job.Webhook(id), UserID: u.ID})
		return err
	})
	return e, problem.Wrap(u.Refused(err), "test webhook %d", id)
}

const deliveryColumns = `d.id, d.uid, d.event, d.body, d.attempts, d.created_at, d.attempted_at, d.next_at, d.delivered_at, d.answer`

func scanDelivery(row db.Scanner) (d Delivery, err error) {
	var id, body string
	var kind Kind
	err = row.Scan(&d.ID, &id, &kind, &body, &d.Attempts, db.Moment(&d.CreatedAt), db.Moment(&d.AttemptedAt), db.Moment(&d.NextAt), db.Moment(&d.DeliveredAt), &d.Answer)
	if err == nil {
		d.Event, err = parse(body)
		d.Event.ID, d.Event.Kind = id, kind
	}
	return d, err
}

// Deliveries returns the last deliveries of a webhook, the newest first.
func (s *Store) Deliveries(ctx context.Context, id int64) ([]Delivery, error) {
	all, err := db.Rows(ctx, s.db, scanDelivery, `SELECT `+deliveryColumns+` FROM webhook_deliveries d WHERE d.webhook_id = :id ORDER BY d.id DESC LIMIT :kept`,
		sql.Named("id", id), sql.Named("kept", keptDeliveries))
	if err != nil {
		return nil, fmt.Errorf("list the deliveries of webhook %d: %w", id, err)
	}
	return all, nil
}

// Take begins an attempt to send the oldest delivery of a webhook that is to be tried now, and returns it, or false if there is none. Unless
// Answered follows, it is tried again after a pause, or given up if that was its last attempt.
func (s *Store) Take(ctx context.Context, id int64) (d Delivery, found bool, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		d, err = db.Row(ctx, q, scanDelivery, `SELECT `+deliveryColumns+` FROM webhook_deliveries d WHERE d.webhook_id = :id AND d.next_at <= :now ORDER BY d.id LIMIT 1`,
			sql.Named("id", id), s.nowArg())
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		found = true
		d.Attempts, d.AttemptedAt, d.NextAt = d.Attempts+1, s.now(), time.Time{}
		if d.Attempts <= len(pauses) && d.AttemptedAt.Sub(d.CreatedAt) < giveUpAfter {
			d.NextAt = d.AttemptedAt.Add(pauses[d.Attempts-1])
		}
		return db.Later(ctx, q, `UPDATE webhook_deliveries SET attempts = :attempts, attempted_at = :now, next_at = :next WHERE id = :id`,
			sql.Named("attempts", d.Attempts), sql.Named("now", db.Millis(d.AttemptedAt)), nextArg(d.NextAt), sql.Named("id", d.ID))
	})
	if err != nil {
		return Delivery{}, false, fmt.Errorf("take a delivery of webhook %d: %w", id, err)
	}
	return d, found, nil
}

func nextArg(at time.Time) sql.NamedArg {
	return sql.Named("next", sql.NullInt64{Int64: db.Millis(at), Valid: !at.IsZero()})
}

// Answered records what came of the attempt that Take has begun, and removes old deliveries. If the webhook did not answer, or asked to wait,
// its other deliveries wait, too; those that are too old by then are given up.
func (s *Store) Answered(ctx context.Context, webhookID int64, d Delivery, a Answer) error {
	webhook, now := sql.Named("webhook", webhookID), s.now()
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		delivered, next := sql.NullInt64{Int64: db.Millis(now), Valid: a.Delivered}, d.NextAt
		if a.Delivered {
			next = time.Time{}
		} else if later := now.Add(a.RetryAfter); !next.IsZero() && later.After(next) {
			next = later
		}
		if err := db.Later(ctx, q, `UPDATE webhook_deliveries SET delivered_at = :delivered, next_at = :next, answer = :answer WHERE id = :id`,
			sql.Named("delivered", delivered), nextArg(next), sql.Named("answer", a.Text), sql.Named("id", d.ID)); err != nil {
			return err
		}
		if a.Wait {
			if next.IsZero() {
				next = now.Add(pauses[0])
			}
			if err := db.Later(ctx, q, `UPDATE webhook_deliveries SET next_at = CASE WHEN created_at > :old THEN MAX(next_at, :next) END, answer = CASE answer WHEN '' THEN :answer ELSE answer END
				WHERE webhook_id = :webhook AND next_at IS NOT NULL AND id <> :id`,
				webhook, nextArg(next), sql.Named("old", db.Millis(now.Add(-giveUpAfter))), sql.Named("answer", "Not tried: "+a.Text), sql.Named("id", d.ID)); err != nil {
				return err
			}
		}
		return db.Later(ctx, q, `DELETE FROM webhook_deliveries WHERE webhook_id = :webhook AND next_at IS NULL
			AND id NOT IN (SELECT id FROM webhook_deliveries WHERE webhook_id = :webhook AND next_at IS NULL ORDER BY id DESC LIMIT :kept)`, webhook, sql.Named("kept", keptDeliveries))
	})
	if err != nil {
		return fmt.Errorf("record an answer of webhook %d: %w", webhookID, err)
	}
	return nil
}
