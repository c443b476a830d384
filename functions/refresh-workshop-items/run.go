package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"left4me/shared/builder"
	"left4me/shared/db"
	"left4me/shared/host"
	"left4me/shared/jobstore"
	"left4me/shared/steam"
	"left4me/shared/workshop"
)

type runner struct {
	steam   *steam.Client
	fetcher builder.Fetcher
	// root is LEFT4ME_ROOT.
	root string
}

// tally has the counts for a refresh's last log line.
type tally struct {
	items, changed, unavailable, foreign, missing, downloaded, failed int
	overlays                                                          map[int64]bool
}

func (t tally) String() string {
	return fmt.Sprintf("refresh: items=%d changed=%d unavailable=%d foreign=%d missing=%d downloaded=%d failed=%d overlays=%d",
		t.items, t.changed, t.unavailable, t.foreign, t.missing, t.downloaded, t.failed, len(t.overlays))
}

// run refreshes all items. A failed download is logged, but does not fail the job: the builds of the overlays that hold the item
// try it again, and fail if it fails again.
func (r runner) run(ctx context.Context, report builder.Report) error {
	t := tally{overlays: map[int64]bool{}}
	err := r.work(ctx, report, &t)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		report.Warnf("refresh failed: %s", db.Reason(err))
	}
	report.Infof("%s", t)
	return err
}

func (r runner) work(ctx context.Context, report builder.Report, t *tally) error {
	items := r.fetcher.Items
	ids, err := items.SteamIDs(ctx)
	if err != nil {
		return err
	}
	report.Infof("refresh starts: items=%d", len(ids))
	p := jobstore.Progress{ItemsTotal: int64(len(ids)), Current: "what Steam says"}
	report.Progress(p)
	var advanced []int64
	err = items.Refresh(ctx, r.steam, ids, func(found workshop.Refreshed) {
		tell(report, found)
		t.add(found)
		advanced = append(advanced, found.Advanced...)
		// Items that advanced count as done once they are downloaded.
		p.ItemsDone = int64(t.items - len(advanced))
		report.Progress(p)
		report.Infof("refreshed %d of %d items", t.items, len(ids))
	})
	if err != nil {
		return err
	}
	fetcher := r.fetcher
	if fetcher.HostID, err = hostID(r.root); err != nil {
		return err
	}
	if fetcher.HostID == "" {
		report.Infof("the cache is not on this machine: builds on the game host download what advanced")
		p.ItemsDone = p.ItemsTotal
		report.Progress(p)
		return nil
	}
	outdated, err := items.Outdated(ctx, fetcher.HostID, advanced)
	if err != nil {
		return err
	}
	fetcher.Report = report
	fetched, err := fetcher.Fetch(ctx, outdated, len(ids))
	if err != nil {
		return err
	}
	t.downloaded, t.failed = fetched.Downloaded, len(fetched.Failed)
	return fetcher.ReadContents(ctx, 0)
}

// hostID returns the id of the host that this process runs on, which has a cache below LEFT4ME_ROOT, or "" on AWS Lambda.
func hostID(root string) (string, error) {
	id, err := host.ReadID(root)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return id, err
}

func (t *tally) add(found workshop.Refreshed) {
	t.items += found.Items
	t.changed += len(found.Changed)
	t.unavailable += len(found.Unavailable)
	t.foreign += len(found.Foreign)
	t.missing += len(found.Missing)
	for _, b := range found.Builds {
		t.overlays[b.OverlayID] = true
	}
}

// tell logs the changes of a batch.
func tell(report builder.Report, found workshop.Refreshed) {
	for _, i := range found.Changed {
		report.Infof("workshop item %s changed: %q, %d bytes, updated %s", i.SteamID, i.Title, i.FileSize, time.Unix(i.TimeUpdated, 0).UTC().Format(time.RFC3339))
	}
	for _, i := range found.Unavailable {
		report.Warnf("workshop item %s is not available: %s", i.SteamID, i.LastError())
	}
	for _, i := range found.Missing {
		report.Warnf("workshop item %s is missing: %s", i.SteamID, i.LastError())
	}
	for _, i := range found.Foreign {
		report.Warnf("workshop item %s skipped: it is for another game now (app %d)", i.SteamID, i.ConsumerAppID)
	}
	for _, b := range found.Builds {
		if b.New {
			report.Infof("overlay %d: build job %d enqueued", b.OverlayID, b.ID)
		} else {
			report.Infof("overlay %d: build job %d already queued", b.OverlayID, b.ID)
		}
	}
}
