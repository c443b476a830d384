package fn

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/settings"
)

// onHost adds a host to d and returns settings with its LEFT4ME_ROOT.
func onHost(t *testing.T, d *db.DB) settings.Settings {
	t.Helper()
	root := t.TempDir()
	id, err := host.EnsureID(root)
	if err != nil {
		t.Fatal(err)
	}
	dbtest.AddHost(t, d, id, time.Now())
	return settings.Settings{Root: root}
}

// ask lets run run one queued build, as an event without an attempt does. It returns the answer, the job afterwards and its log.
func ask(t *testing.T, ctx context.Context, run func(context.Context, *Env, *Run) error) (job.Outcome, error, jobstore.Job, string) {
	t.Helper()
	d := dbtest.New(t)
	jobs := jobstore.NewStore(d, time.Now)
	// Only withReserve uses this clock.
	env := &Env{Settings: onHost(t, d), DB: d, Jobs: jobs, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: func() time.Time { return time.Now().Add(-time.Hour) }}
	if _, err := jobs.Enqueue(t.Context(), d, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(7)}); err != nil {
		t.Fatal(err)
	}
	h := &jobHandler{env: env, operation: job.BuildOverlay,
		run: func(ctx context.Context, r *Run) error { return run(ctx, env, r) }}
	answer, err := h.handle(ctx, job.Event{JobID: 1})
	after, gerr := jobs.Get(t.Context(), 1)
	if gerr != nil {
		t.Fatal(gerr)
	}
	lines, gerr := jobs.Logs(t.Context(), 1, 0, 100)
	if gerr != nil {
		t.Fatal(gerr)
	}
	var log []string
	for _, l := range lines {
		log = append(log, l.Text)
	}
	return answer, err, after, strings.Join(log, "\n")
}

func TestARunThatSucceedsWritesInTheSameTransaction(t *testing.T) {
	answer, err, after, log := ask(t, t.Context(), func(_ context.Context, _ *Env, r *Run) error {
		if r.Subject != job.Overlay(7) {
			t.Errorf("the run is about %s", r.Subject)
		}
		r.Infof("item %d", 1)
		r.OnSuccess(func(ctx context.Context, q db.Querier) error {
			_, err := q.ExecContext(ctx, `UPDATE jobs SET worker = 'in the same transaction' WHERE id = 1 AND state = 'succeeded'`)
			return err
		})
		return nil
	})
	if err != nil || answer.State != job.Succeeded || answer.JobID != 1 || after.State != job.Succeeded || log != "item 1" {
		t.Errorf("%+v, %v, %+v, %q", answer, err, after, log)
	}
	if after.Worker != "in the same transaction" {
		t.Error("OnSuccess's function did not write")
	}
}

func TestARunThatFailsRecordsItsError(t *testing.T) {
	wrote := false
	answer, err, after, _ := ask(t, t.Context(), func(_ context.Context, _ *Env, r *Run) error {
		r.OnSuccess(func(context.Context, db.Querier) error {
			wrote = true
			return nil
		})
		return errors.New("the disk is on fire")
	})
	if err != nil || answer.State != job.Failed || after.State != job.Failed || after.Error != "the disk is on fire" || wrote {
		t.Errorf("%+v, %v, %+v, wrote %v", answer, err, after, wrote)
	}
}

func TestAJobsErrorDoesNotHaveTheDatabasesWords(t *testing.T) {
	answer, err, after, _ := ask(t, t.Context(), func(context.Context, *Env, *Run) error {
		return errors.New("record the download of 7: database or disk is full (13)")
	})
	const want = "The disk with left4me's database is full. Please make room on it, such as with `localrun gc`, and try again."
	if err != nil || answer.State != job.Failed || after.Error != want || answer.Error != want {
		t.Errorf("%+v, %v, %q", answer, err, after.Error)
	}
}

func TestAFailingOnSuccessFailsTheJob(t *testing.T) {
	_, err, after, _ := ask(t, t.Context(), func(_ context.Context, _ *Env, r *Run) error {
		r.OnSuccess(func(context.Context, db.Querier) error { return errors.New("no such overlay") })
		return nil
	})
	if err != nil || after.State != job.Failed || after.Error != "no such overlay" {
		t.Errorf("%v, %+v", err, after)
	}
}

// After a panic the job fails at once and is not run again as if its worker had been lost.
func TestAPanicFailsTheJob(t *testing.T) {
	_, err, after, log := ask(t, t.Context(), func(context.Context, *Env, *Run) error { panic("oh no") })
	if err != nil || after.State != job.Failed || strings.Contains(after.Error+log, "oh no") || after.Attempt != 1 {
		t.Errorf("%v, %+v, %q", err, after, log)
	}
}

func TestACancelledRunIsCancelled(t *testing.T) {
	answer, err, after, log := ask(t, t.Context(), func(ctx context.Context, env *Env, _ *Run) error {
		if _, _, err := env.Jobs.Cancel(context.WithoutCancel(ctx), 1); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if err != nil || answer.State != job.Cancelled || after.State != job.Cancelled || log != "cancelled" {
		t.Errorf("%+v, %v, %+v, %q", answer, err, after, log)
	}
}

// A run that was complete before it noticed the cancellation has succeeded.
func TestARunThatIsCompleteBeforeItNoticesACancellationHasSucceeded(t *testing.T) {
	_, err, after, _ := ask(t, t.Context(), func(ctx context.Context, env *Env, _ *Run) error {
		_, _, err := env.Jobs.Cancel(ctx, 1)
		return err
	})
	if err != nil || after.State != job.Succeeded {
		t.Errorf("%v, %+v", err, after)
	}
}

func TestAStoppedRunIsHandedBack(t *testing.T) {
	for name, deadline := range map[string]bool{"told to end": false, "time nearly over": true} {
		ctx, tell := context.WithCancelCause(t.Context())
		if deadline {
			var stop context.CancelFunc
			ctx, stop = context.WithTimeout(ctx, reserve)
			defer stop()
		}
		answer, err, after, log := ask(t, ctx, func(ctx context.Context, _ *Env, _ *Run) error {
			if !deadline {
				tell(errStopping)
			}
			<-ctx.Done()
			return ctx.Err()
		})
		tell(nil)
		if err != nil || answer.State != job.Running || after.State != job.Running || after.LeaseUntil.UnixMilli() != 0 || !strings.Contains(log, "it goes on later") {
			t.Errorf("%s: %+v, %v, %+v, %q", name, answer, err, after, log)
		}
	}
}

// A process that has lost its job because it was slow writes nothing more.
func TestALostRunStops(t *testing.T) {
	_, err, after, log := ask(t, t.Context(), func(ctx context.Context, env *Env, r *Run) error {
		if _, err := env.DB.ExecContext(ctx, `UPDATE jobs SET attempt = attempt + 1 WHERE id = 1`); err != nil {
			return err
		}
		r.Infof("a word too late")
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, jobstore.ErrLost) || after.State != job.Running || log != "" {
		t.Errorf("%v, %+v, %q", err, after, log)
	}
}

// A suspended process that goes on may write before it notices that it has lost the job.
func TestALostRunChangesNoRow(t *testing.T) {
	for name, lose := range map[string]string{
		"claimed again": `UPDATE jobs SET attempt = attempt + 1`, "lease over": `UPDATE jobs SET lease_until = 1`,
		"given up": `UPDATE jobs SET state = 'failed', finished_at = 1, lease_until = NULL`,
	} {
		for how, write := range map[string]func(context.Context, *db.DB, string) error{
			"a statement": func(ctx context.Context, d *db.DB, statement string) error {
				_, err := db.Exec(ctx, d, statement)
				return err
			},
			"a transaction": func(ctx context.Context, d *db.DB, statement string) error {
				return d.InTx(ctx, func(ctx context.Context, q db.Querier) error {
					_, err := db.Exec(ctx, q, statement)
					return err
				})
			},
		} {
			_, err, after, _ := ask(t, t.Context(), func(ctx context.Context, env *Env, _ *Run) error {
				if err := write(ctx, env.DB, `UPDATE jobs SET worker = 'owner'`); err != nil {
					t.Errorf("%s, %s: the owner cannot write: %v", name, how, err)
				}
				if err := write(t.Context(), env.DB, lose); err != nil {
					return err
				}
				if err := write(ctx, env.DB, `UPDATE jobs SET worker = 'lost'`); !errors.Is(err, jobstore.ErrLost) {
					t.Errorf("%s, %s: the write gives %v", name, how, err)
				}
				return nil
			})
			if !errors.Is(err, jobstore.ErrLost) || after.Worker != "owner" {
				t.Errorf("%s, %s: %v, worker %q", name, how, err, after.Worker)
			}
		}
	}
}

func TestEventsWithoutAJobOfTheOperation(t *testing.T) {
	d := dbtest.New(t)
	jobs := jobstore.NewStore(d, time.Now)
	h := &jobHandler{env: &Env{Settings: onHost(t, d), DB: d, Jobs: jobs, Log: slog.New(slog.DiscardHandler), Now: time.Now}, operation: job.BuildOverlay,
		run: func(context.Context, *Run) error {
			t.Error("it ran")
			return nil
		}}
	if _, err := jobs.Enqueue(t.Context(), d, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(7)}); err != nil {
		t.Fatal(err)
	}
	for says, event := range map[string]job.Event{
		`{"job_id":N}`: {},
		"no such job":  {JobID: 99},
		"not ours":     {JobID: 1, Attempt: 5},
	} {
		if _, err := h.handle(t.Context(), event); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", event, err, says)
		}
	}
	e, err := jobs.Get(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, found, err := jobs.Claim(t.Context(), jobstore.Worker{Name: "somebody", Host: e.HostID}, job.Runnable()); err != nil || !found {
		t.Fatal(found, err)
	}
	if _, err := h.handle(t.Context(), job.Event{JobID: 1}); err == nil || !strings.Contains(err.Error(), "already running") {
		t.Errorf("a job that somebody runs: %v", err)
	}
}

func TestARunReadsSubjectAndArgument(t *testing.T) {
	d := dbtest.New(t)
	jobs, s := jobstore.NewStore(d, time.Now), onHost(t, d)
	type argument struct{ Map string }
	request := jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(7), Argument: argument{"c1m1"}}
	if _, err := jobs.Enqueue(t.Context(), d, request); err != nil {
		t.Fatal(err)
	}
	h := &jobHandler{env: &Env{Settings: s, DB: d, Jobs: jobs, Log: slog.New(slog.DiscardHandler), Now: time.Now}, operation: job.BuildOverlay,
		run: func(_ context.Context, r *Run) error {
			var got argument
			if err := r.Argument(&got); err != nil || got.Map != "c1m1" || r.Subject != job.Overlay(7) {
				t.Errorf("%+v, %v, about %s", got, err, r.Subject)
			}
			if err := r.Argument(new(int)); err == nil || !strings.Contains(err.Error(), "argument of job 1") {
				t.Errorf("as something else: %v", err)
			}
			return nil
		}}
	if _, err := h.handle(t.Context(), job.Event{JobID: 1}); err != nil {
		t.Error(err)
	}
}
