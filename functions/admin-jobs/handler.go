package main

import (
	"net/http"
	"slices"
	"strconv"

	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/present"
	"left4me/shared/problem"
	view "left4me/templates/admin"
	jobview "left4me/templates/job"
	"left4me/templates/web"
)

// pageSize is how many jobs one list holds.
const pageSize = 50

type handler struct {
	jobs *jobstore.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	query := r.URL.Query()
	before, _ := strconv.ParseInt(query.Get(jobview.BeforeParam), 10, 64)
	state := query.Get(view.StateParam)
	if state != "" && !slices.Contains(view.States, state) {
		return problem.Invalid("No job ends in the state “%s”.", state)
	}
	list := view.JobsView{Frame: r.Frame(w), State: state, Later: before > 0}
	if !list.Later {
		live, err := h.jobs.ListLive(r.Context(), pageSize)
		if err != nil {
			return err
		}
		list.Live = summaries(live)
		counts, err := h.jobs.Live(r.Context())
		if err != nil {
			return err
		}
		for _, c := range counts {
			list.LiveTotal += int(c.Jobs)
		}
	}
	ended, err := h.jobs.ListEnded(r.Context(), job.State(state), before, pageSize+1)
	if err != nil {
		return err
	}
	if len(ended) > pageSize {
		ended = ended[:pageSize]
		list.Older = ended[pageSize-1].ID
	}
	list.Ended = summaries(ended)
	return r.Render(w, http.StatusOK, view.Jobs(list))
}

func summaries(jobs []jobstore.Job) []jobview.Summary {
	var all []jobview.Summary
	for _, j := range jobs {
		all = append(all, present.Summary(j))
	}
	return all
}
