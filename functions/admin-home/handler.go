package main

import (
	"errors"
	"math"
	"net/http"
	"time"

	"left4me/shared/account"
	"left4me/shared/hostinfo"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/present"
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
	now      func() time.Time
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	home := view.HomeView{Frame: r.Frame(w)}
	for _, fill := range []func(*web.Request, *view.HomeView) error{h.sums, h.work, h.agents} {
		if err := fill(r, &home); err != nil {
			return err
		}
	}
	return r.Render(w, http.StatusOK, view.Home(home))
}

// sums counts what there is.
func (h handler) sums(r *web.Request, home *view.HomeView) error {
	people, err := h.accounts.Count(r.Context())
	if err != nil {
		return err
	}
	home.People, home.Administrators, home.Disabled = people.People, people.Administrators, people.Disabled
	types, err := h.overlays.Count(r.Context())
	if err != nil {
		return err
	}
	for _, t := range types {
		home.Overlays = append(home.Overlays, view.Type{Name: string(t.Type), Overlays: t.Overlays})
	}
	items, err := h.items.Count(r.Context())
	home.Ready, home.Waiting, home.Failing = items.Ready, items.Waiting, items.Failing
	home.Unused = items.Unused
	return err
}

// work says what is at work and waits, and how the newest refresh went.
func (h handler) work(r *web.Request, home *view.HomeView) error {
	live, err := h.jobs.Live(r.Context())
	if err != nil {
		return err
	}
	for _, c := range live {
		home.Queue = append(home.Queue, view.Queue{Operation: c.Operation, State: string(c.State), Jobs: int(c.Jobs), Oldest: c.Oldest})
	}
	last, err := h.jobs.LastRefresh(r.Context())
	if errors.Is(err, jobstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	home.Refresh.Job = present.Summary(last)
	lines, err := h.jobs.LogsBefore(r.Context(), last.ID, math.MaxInt64, 1)
	if err != nil {
		return err
	}
	for _, l := range lines {
		home.Refresh.LastLine = l.Text
	}
	return nil
}

// agents shows what the game hosts have said.
func (h handler) agents(r *web.Request, home *view.HomeView) error {
	hosts, err := h.hosts.List(r.Context())
	if err != nil {
		return err
	}
	for _, host := range hosts {
		if host.Usage.GarbageKnown && !host.Silent(h.now()) {
			home.Garbage.Hosts++
			home.Garbage.Files += int(host.Usage.GarbageFiles)
			home.Garbage.Bytes += host.Usage.GarbageBytes
		}
		home.Hosts = append(home.Hosts, view.Host{
			Name: host.Name, Command: host.Command, Version: host.Version, Seen: host.SeenAt, Silent: host.Silent(h.now()),
			DiskTotal: host.DiskTotal, DiskFree: host.DiskFree, Scarce: hostinfo.Scarce(host.DiskTotal, host.DiskFree), Measured: host.MeasuredAt,
			CacheFiles: int(host.Usage.CacheFiles), CacheBytes: host.Usage.CacheBytes,
			Overlays: int(host.Usage.Overlays), OverlayBytes: host.Usage.OverlayBytes,
		})
	}
	return nil
}
