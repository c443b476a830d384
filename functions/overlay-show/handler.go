package main

import (
	"net/http"

	"left4me/shared/job"
	"left4me/shared/workshop"
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
	v := view.ShowView{SeenJob: r.Number(view.JobParam), SeenState: job.State(query.Get(view.StateParam))}
	if v.Items.Query, err = workshop.Listing.Parse(query); err != nil {
		return err
	}
	if r.Fragment() && query.Has(view.JobParam) {
		return h.page.RenderNews(w, r, id, v)
	}
	return h.page.Render(w, r, http.StatusOK, id, v)
}
