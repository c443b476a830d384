package main

import (
	"net/http"
	"strconv"

	"left4me/shared/overlay"
	"left4me/shared/present"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

type handler struct {
	overlays *overlay.Store
	page     present.OverlayPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	o, err := web.ByID(r, "id", h.overlays.Visible)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	seen, _ := strconv.ParseInt(query.Get(view.JobParam), 10, 64)
	show, err := h.page.View(w, r, o, seen)
	if err != nil {
		return err
	}
	if r.Fragment() && query.Has(view.JobParam) {
		show.Live.SeenJob, show.Live.SeenState = seen, query.Get(view.StateParam)
		return r.Render(w, http.StatusOK, view.News(show))
	}
	return r.Render(w, http.StatusOK, view.Show(show))
}
