package main

import (
	"net/http"
	"strconv"

	"left4me/shared/jobstore"
	"left4me/shared/present"
	view "left4me/templates/job"
	"left4me/templates/web"
)

// pageSize is how many jobs one page lists.
const pageSize = 50

type handler struct {
	jobs *jobstore.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	before, _ := strconv.ParseInt(r.URL.Query().Get(view.BeforeParam), 10, 64)
	scope := jobstore.Of(r.User.ID)
	if r.User.Admin {
		scope = jobstore.Everyone
	}
	jobs, err := h.jobs.List(r.Context(), scope, before, pageSize+1)
	if err != nil {
		return err
	}
	list := view.ListView{Frame: r.Frame(w), Later: before > 0}
	if len(jobs) > pageSize {
		jobs = jobs[:pageSize]
		list.Older = jobs[pageSize-1].ID
	}
	for _, j := range jobs {
		list.Jobs = append(list.Jobs, present.Summary(j))
	}
	return r.Render(w, http.StatusOK, view.List(list))
}
