package job

import (
	"context"
	"errors"

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

// PageSize is the number of jobs on one page of a list.
const PageSize = 50

// Page returns the page of a list that the query of r asks for. It calls list for at most limit jobs, newest first, with ids
// below before (0: from the newest on).
func Page(r *web.Request, list func(before int64, limit int) ([]jobstore.Job, error)) (Listed, error) {
	before := r.Number(BeforeParam)
	jobs, err := list(before, PageSize+1)
	if err != nil {
		return Listed{}, err
	}
	listed := Listed{Jobs: jobs, Later: before > 0}
	if len(jobs) > PageSize {
		listed.Jobs = jobs[:PageSize]
		listed.Older = jobs[PageSize-1].ID
	}
	return listed, nil
}
