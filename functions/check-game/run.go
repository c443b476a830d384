package main

import (
	"context"

	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/game"
	"left4me/shared/job"
	"left4me/shared/jobstore"
)

type runner struct {
	db        *db.DB
	installer game.Installer
	releases  *game.Store
	jobs      *jobstore.Store
	// install is true if newer releases are to be installed.
	install bool
}

func (r runner) run(ctx context.Context, run *fn.Run) error {
	installed, found, err := r.releases.Newest(ctx, r.db, run.Host)
	if err != nil {
		return err
	}
	if !found {
		run.Infof("the game is not installed on this host: there is nothing to compare")
		return nil
	}
	r.installer.Report = run
	offer, err := r.installer.Newest(ctx)
	if err != nil {
		return err
	}
	newer := offer.BuildID != installed.BuildID
	switch {
	case !newer:
		run.Infof("release %d is installed, and Steam offers no other", installed.BuildID)
	case r.install:
		run.Infof("Steam offers release %d, and %d is installed: asking for the install", offer.BuildID, installed.BuildID)
	default:
		run.Infof("Steam offers release %d, and %d is installed. An administrator can install it on the page of the hosts", offer.BuildID, installed.BuildID)
	}
	run.OnSuccess(func(ctx context.Context, q db.Querier) error {
		if err := r.releases.RecordCheck(ctx, q, run.Host, offer.BuildID); err != nil || !newer || !r.install {
			return err
		}
		_, err := r.jobs.Enqueue(ctx, q, jobstore.Request{Operation: job.Install, Host: run.Host})
		return err
	})
	return nil
}
