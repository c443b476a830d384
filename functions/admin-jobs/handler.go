package main

import (
	"net/http"
	"strconv"

	"left4me/shared/jobstore"
	"left4me/shared/present"
	"left4me/shared/web"
	view "left4me/templates/job"
)

// pageSize is how many jobs one page lists.
const pageSize = 50

type handler struct {
	jobs *jobstore.Store
}

func (h handler) serve(w http.ResponseWriter, v *web.Visit) error {
	before, _ := strconv.ParseInt(v.URL.Query().Get(view.BeforeParam), 10, 64)
	jobs, err := h.jobs.List(v.Context(), jobstore.Everyone, before, pageSize+1)
	if err != nil {
		return err
	}
	list := view.ListView{Frame: v.Frame(w), Later: before > 0}
	if len(jobs) > pageSize {
		jobs = jobs[:pageSize]
		list.Older = jobs[pageSize-1].ID
	}
	for _, j := range jobs {
		list.Jobs = append(list.Jobs, present.Summary(j))
	}
	return v.Render(w, http.StatusOK, view.List(list))
}
