// Package present fills the views that several functions show from rows: lists, the page of an overlay, jobs. What a page
// looks like is the templates' business, what rows mean the nouns'.
package present

import (
	"errors"

	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/problem"
	view "left4me/templates/job"
	"left4me/templates/web"
)

// Summary is a job as lists and strips show it.
func Summary(j jobstore.Job) view.Summary {
	return view.Summary{
		ID:          j.ID,
		Operation:   j.Operation,
		State:       string(j.State),
		OverlayID:   j.Subject.ID,
		OverlayName: j.SubjectName,
		AskedBy:     j.UserName,
		Created:     j.CreatedAt,
		Started:     j.StartedAt,
		Finished:    j.FinishedAt,
	}
}

// Progress is how far a job is.
func Progress(j jobstore.Job) view.Progress {
	return view.Progress{
		ItemsDone:  int(j.Progress.ItemsDone),
		ItemsTotal: int(j.Progress.ItemsTotal),
		BytesDone:  j.Progress.BytesDone,
		BytesTotal: j.Progress.BytesTotal,
		Current:    j.Progress.Current,
	}
}

// Lines are log lines as a page shows them.
func Lines(lines []jobstore.Line) []view.Line {
	shown := make([]view.Line, len(lines))
	for i, l := range lines {
		shown[i] = view.Line{Seq: l.Seq, At: l.At, Stderr: l.Stream == job.Stderr, Text: l.Text}
	}
	return shown
}

// VisibleJob returns the job that the path's {id} names if the visitor may see it (P38), which is also who may cancel it;
// the error is a problem: 404, or 403.
func VisibleJob(r *web.Request, jobs *jobstore.Store) (jobstore.Job, error) {
	id, err := r.ID("id")
	if err != nil {
		return jobstore.Job{}, err
	}
	j, err := jobs.Get(r.Context(), id)
	switch {
	case errors.Is(err, jobstore.ErrNotFound):
		return jobstore.Job{}, problem.NotFound("There is no job %d.", id)
	case err != nil:
		return jobstore.Job{}, err
	case !r.User.Admin && !j.Concerns(r.User.ID):
		return jobstore.Job{}, problem.Forbidden("This job belongs to somebody else. Ask them or an administrator.")
	}
	return j, nil
}
