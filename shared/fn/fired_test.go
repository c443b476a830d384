package fn

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"left4me/shared/db/dbtest"
	"left4me/shared/job"
	"left4me/shared/jobstore"
)

// handedOn is the event that AWS Lambda sends to the function after a schedule's. Its format is described in
// docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html.
const handedOn = `{
	"version": "1.0",
	"timestamp": "2026-11-21T04:07:12.345Z",
	"requestContext": {
		"requestId": "e4b46cbf-b738-xmpl-8880-a18cdf61200e",
		"functionArn": "arn:aws:lambda:eu-central-1:123456789012:function:left4me-schedule-refresh:$LATEST",
		"condition": "Success",
		"approximateInvokeCount": 1
	},
	"requestPayload": {"schedule": "workshop-refresh", "slot": "2026-11-21T04:00:00Z"},
	"responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
	"responsePayload": {"job_id": 1, "new": true, "said": "enqueued refresh_workshop_items job 1"}
}`

func TestAJobOfAScheduleRunsOnce(t *testing.T) {
	d := dbtest.New(t)
	jobs := jobstore.NewStore(d, time.Now)
	if _, err := jobs.Enqueue(t.Context(), d, jobstore.Request{Operation: job.RefreshWorkshopItems}); err != nil {
		t.Fatal(err)
	}
	var event job.Event
	if err := json.Unmarshal([]byte(handedOn), &event); err != nil {
		t.Fatal(err)
	}
	env := &Env{DB: d, Jobs: jobs, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now}
	runs := 0
	h := &jobHandler{env: env, operation: job.RefreshWorkshopItems, run: func(context.Context, *Run) error {
		runs++
		return nil
	}}
	first, err := h.handle(t.Context(), event)
	if err != nil || first.State != job.Succeeded || runs != 1 {
		t.Errorf("first: %+v, %v, %d runs", first, err, runs)
	}
	second, err := h.handle(t.Context(), event)
	if err != nil || second.State != "" || second.JobID != 1 || runs != 1 {
		t.Errorf("second: %+v, %v, %d runs", second, err, runs)
	}
	// On AWS, Lambda invokes a function again only after an error, and nobody else continues the job.
	if _, err := jobs.Enqueue(t.Context(), d, jobstore.Request{Operation: job.RefreshWorkshopItems}); err != nil {
		t.Fatal(err)
	}
	event.Fired.JobID = 2
	ctx, tell := context.WithCancelCause(t.Context())
	h.run = func(ctx context.Context, _ *Run) error {
		if runs++; runs > 2 {
			return nil
		}
		tell(errTime)
		<-ctx.Done()
		return ctx.Err()
	}
	if got, err := h.handle(ctx, event); err == nil {
		t.Errorf("a run without time to end was not reported: %+v", got)
	}
	if again, err := h.handle(t.Context(), event); err != nil || again.State != job.Succeeded || runs != 3 {
		t.Errorf("again: %+v, %v, %d runs", again, err, runs)
	}
	// Invoked with the job's own event, by a person, it is an error.
	if _, err := h.handle(t.Context(), job.Event{JobID: 1}); err == nil {
		t.Error("an ended job was accepted")
	}
}
