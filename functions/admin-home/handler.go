package main

import (
	"errors"
	"math"
	"net/http"

	"left4me/shared/account"
	"left4me/shared/hostinfo"
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
	hosts    *hostinfo.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) (err error) {
	home := view.HomeView{Frame: r.Frame(w)}
	if home.People, err = h.accounts.Count(r.Context()); err != nil {
		return err
	}
	if home.Overlays, err = h.overlays.Count(r.Context()); err != nil {
		return err
	}
	if home.Items, err = h.items.Count(r.Context()); err != nil {
		return err
	}
	if home.Queue, err = h.jobs.CountLive(r.Context()); err != nil {
		return err
	}
	if home.Hosts, err = h.hosts.List(r.Context()); err != nil {
		return err
	}
	if err := h.refresh(r, &home); err != nil {
		return err
	}
	return r.Render(w, http.StatusOK, view.Home(home))
}

// refresh adds the newest refresh, if there was one.
func (h handler) refresh(r *web.Request, home *view.HomeView) (err error) {
	home.Refresh, err = h.jobs.Last(r.Context(), job.RefreshWorkshopItems)
	if errors.Is(err, jobstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	lines, err := h.jobs.LogsBefore(r.Context(), home.Refresh.ID, math.MaxInt64, 1)
	for _, l := range lines {
		home.RefreshLine = l.Text
	}
	return err
}
