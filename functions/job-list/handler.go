package main

import (
	"net/http"

	"left4me/shared/jobstore"
	view "left4me/templates/job"
	"left4me/templates/web"
)

type handler struct {
	jobs *jobstore.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	scope := jobstore.Of(r.User.ID)
	if r.User.Admin {
		scope = jobstore.Everyone
	}
	q, err := jobstore.Listing.Parse(r.URL.Query())
	if err != nil {
		return err
	}
	jobs, err := h.jobs.List(r.Context(), scope, q)
	if err != nil {
		return err
	}
	return view.ListView{Jobs: jobs}.Render(w, r)
}
