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

// About returns the Handler of a route about the job {id}: answer gets the job, if the person may see it (P38), and so may cancel it.
func About(jobs *jobstore.Store, answer func(http.ResponseWriter, *web.Request, jobstore.Job) error) web.Handler {
	return web.About(web.ByID(func(ctx context.Context, id int64) (jobstore.Job, error) {
		j, err := jobs.Get(ctx, id)
		if errors.Is(err, jobstore.ErrNotFound) {
			err = problem.NotFound("There is no job %d.", id)
		}
		return j, err
	}), visible, answer)
}

func visible(j jobstore.Job, u account.User) error {
	if !u.Admin && !j.Concerns(u.ID) {
		return problem.Forbidden("This job belongs to somebody else. Ask them or an administrator.")
	}
	return nil
}

// Render answers with the page. Frame is the only field that is not the caller's.
func (v ListView) Render(w http.ResponseWriter, r *web.Request) error {
	v.Frame = r.ListFrame(w, v.list())
	return web.Render(w, r, http.StatusOK, v, List)
}
