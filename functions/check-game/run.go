package main

import (
	"context"
	"errors"
	"slices"

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
	onDisk, err := r.installer.Releases(ctx)
	if err != nil {
		return err
	}
	recorded, _, err := r.releases.Newest(ctx, r.db, run.Host)
	if err != nil {
		return err
	}
	if len(onDisk) == 0 {
		run.Infof("the game is not installed on this host: there is nothing to compare")
		run.OnSuccess(func(ctx context.Context, q db.Querier) error {
			return r.releases.RecordReleases(ctx, q, run.Host, 0, nil)
		})
		return nil
	}
	installed := recorded.BuildID
	if !slices.ContainsFunc(onDisk, func(o game.Release) bool { return o.BuildID == installed }) {
		installed = onDisk[len(onDisk)-1].BuildID // after a restoration, or by hand
	}
	r.installer.Report = run
	offer, err := r.installer.Newest(ctx)
	if err != nil {
		return err
	}
	newer := offer.BuildID != installed
	switch {
	case !newer:
		run.Infof("release %d is installed, and Steam offers no other", installed)
	case r.install:
		run.Infof("Steam offers release %d, and %d is installed: asking for the install", offer.BuildID, installed)
	default:
		run.Infof("Steam offers release %d, and %d is installed. An administrator can install it on the page of the hosts", offer.BuildID, installed)
	}
	run.OnSuccess(func(ctx context.Context, q db.Querier) error {
		err := errors.Join(r.releases.RecordReleases(ctx, q, run.Host, installed, onDisk), r.releases.RecordCheck(ctx, q, run.Host, offer.BuildID))
		if err != nil || !newer || !r.install {
			return err
		}
		_, err = r.jobs.Enqueue(ctx, q, jobstore.Request{Operation: job.Install, Host: run.Host})
		return err
	})
	return nil
}
