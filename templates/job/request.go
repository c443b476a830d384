package job

import (
	"context"
	"errors"
	"net/http"

	"left4me/shared/account"
	"left4me/shared/jobstore"
	"left4me/shared/problem"
	"left4me/templates/web"
)

// Visible returns the job with that id if u may see it (P38), and so may cancel it. The error is a problem: 404, or 403.
func Visible(ctx context.Context, u account.User, jobs *jobstore.Store, id int64) (jobstore.Job, error) {
	j, err := jobs.Get(ctx, id)
	switch {
	case errors.Is(err, jobstore.ErrNotFound):
		return jobstore.Job{}, problem.NotFound("There is no job %d.", id)
	case err != nil:
		return jobstore.Job{}, err
	case !u.Admin && !j.Concerns(u.ID):
		return jobstore.Job{}, problem.Forbidden("This job belongs to somebody else. Ask them or an administrator.")
	}
	return j, nil
}

// Render answers with the page. Frame is the only field that is not the caller's.
func (v ListView) Render(w http.ResponseWriter, r *web.Request) error {
	v.Frame = r.ListFrame(w, v.list())
	return r.Render(w, http.StatusOK, List(v))
}
