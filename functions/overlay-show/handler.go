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
	id, err := r.ID("id")
	if err != nil {
		return err
	}
	query := r.URL.Query()
	seen := r.Number(view.JobParam)
	if r.Fragment() && query.Has(view.JobParam) {
		return h.page.RenderNews(w, r, id, seen, job.State(query.Get(view.StateParam)))
	}
	return h.page.Render(w, r, http.StatusOK, id, view.ShowView{SeenJob: seen})
}
