package main

import (
	"context"
	"errors"
	"net/http"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/workshop"
	view "left4me/templates/admin"
	"left4me/templates/web"
)

type handler struct {
	accounts *account.Store
	overlays *overlay.Store
	items    *workshop.Store
	jobs     *jobstore.Store
	hosts    *host.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) (err error) {
	home := view.HomeView{Frame: r.Frame(w)}
	var line []jobstore.Line
	err = r.Together(r.Context(),
		db.Into(&home.People, h.accounts.Count),
		db.Into(&home.Overlays, h.overlays.Count),
		db.Into(&home.Items, h.items.Count),
		db.Into(&home.Queue, h.jobs.CountLive),
		db.Into(&home.Hosts, h.hosts.List),
		func(ctx context.Context) error {
			var err error
			home.Refresh, err = h.jobs.Last(ctx, job.RefreshWorkshopItems)
			if errors.Is(err, jobstore.ErrNotFound) {
				return nil // there was none
			}
			return err
		},
		db.Into(&line, func(ctx context.Context) ([]jobstore.Line, error) {
			return h.jobs.LastLine(ctx, job.RefreshWorkshopItems)
		}),
	)
	if err != nil {
		return err
	}
	for _, l := range line {
		home.RefreshLine = l.Text
	}
	return web.Render(w, r, http.StatusOK, home, view.Home)
}
