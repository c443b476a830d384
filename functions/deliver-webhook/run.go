package main

import (
	"context"
	"fmt"
	"time"

	"left4me/shared/fn"
	"left4me/shared/problem"
	"left4me/shared/webhook"
)

type runner struct {
	store  *webhook.Store
	sender webhook.Sender
	now    func() time.Time
}

// run sends the deliveries of a webhook that are to be tried now. One that fails is tried again by a later job. The error says that some were
// given up.
func (r runner) run(ctx context.Context, run *fn.Run) error {
	w, err := r.store.Get(ctx, run.Subject.ID)
	if _, isGone := problem.As(err); isGone {
		run.Infof("the webhook has been deleted")
		return nil
	}
	if err != nil {
		return err
	}
	givenUp := 0
	for {
		d, found, err := r.store.Take(ctx, w.ID)
		if err != nil {
			return err
		}
		if !found {
			break
		}
		a, err := r.sender.Send(ctx, w, d, r.now())
		if err == nil {
			err = r.store.Answered(ctx, w.ID, d, a)
		}
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %s (%s), attempt %d: %s", w.Host, d.Event.Kind, d.Event.ID, d.Attempts, a.Text)
		switch {
		case a.Delivered:
			run.Infof("%s", line)
		case d.NextAt.IsZero():
			givenUp++
			run.Warnf("%s; given up", line)
		default:
			run.Warnf("%s; it is tried again", line)
		}
		if a.Wait {
			break
		}
	}
	if givenUp > 0 {
		return fmt.Errorf("%s: %d of its deliveries failed for an hour and were given up; the webhook's page has the answers", w.Host, givenUp)
	}
	return nil
}
