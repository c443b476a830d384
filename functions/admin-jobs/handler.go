package main

import (
	"net/http"
	"slices"

	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/problem"
	view "left4me/templates/admin"
	jobview "left4me/templates/job"
	"left4me/templates/web"
)

type handler struct {
	jobs *jobstore.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) (err error) {
	v := view.JobsView{Frame: r.Frame(w), State: job.State(r.URL.Query().Get(view.StateParam))}
	if v.State != "" && !slices.Contains(view.States, v.State) {
		return problem.Invalid("No job ends in the state “%s”.", v.State)
	}
	v.Ended, err = jobview.Page(r, func(before int64, limit int) ([]jobstore.Job, error) {
		return h.jobs.ListEnded(r.Context(), v.State, before, limit)
	})
	if err != nil {
		return err
	}
	if !v.Ended.Later {
		if v.Live, err = h.jobs.ListLive(r.Context(), jobview.PageSize); err != nil {
			return err
		}
		counts, err := h.jobs.CountLive(r.Context())
		if err != nil {
			return err
		}
		for _, c := range counts {
			v.LiveTotal += int(c.Jobs)
		}
	}
	return r.Render(w, http.StatusOK, view.Jobs(v))
}
