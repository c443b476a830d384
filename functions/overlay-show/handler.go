package main

import (
	"net/http"

	"left4me/shared/job"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

type handler struct {
	page view.ShowPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	query := r.URL.Query()
	seen := r.Number(view.JobParam)
	if r.Fragment() && query.Has(view.JobParam) {
		id, err := r.ID("id")
		if err != nil {
			return err
		}
		return h.page.RenderNews(w, r, id, seen, job.State(query.Get(view.StateParam)))
	}
	o, err := web.ByID(r, "id", h.page.Overlays.Visible)
	if err != nil {
		return err
	}
	return h.page.Render(w, r, http.StatusOK, o.ID, view.ShowView{SeenJob: seen})
}
