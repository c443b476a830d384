package main

import (
	"net/http"
	"strconv"

	"left4me/shared/overlay"
	"left4me/shared/present"
	"left4me/shared/web"
	view "left4me/templates/overlay"
)

type handler struct {
	overlays *overlay.Store
	page     present.OverlayPage
}

func (h handler) serve(w http.ResponseWriter, v *web.Visit) error {
	o, err := web.ByID(v, "id", h.overlays.Visible)
	if err != nil {
		return err
	}
	query := v.URL.Query()
	seen, _ := strconv.ParseInt(query.Get(view.JobParam), 10, 64)
	show, err := h.page.View(w, v, o, seen)
	if err != nil {
		return err
	}
	if v.Fragment() && query.Has(view.JobParam) {
		show.Live.SeenJob, show.Live.SeenState = seen, query.Get(view.StateParam)
		return v.Render(w, http.StatusOK, view.News(show))
	}
	return v.Render(w, http.StatusOK, view.Show(show))
}
