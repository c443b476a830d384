package present

import (
	"net/http"
	"time"

	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/workshop"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

// OverlayList fills the list of overlays.
type OverlayList struct {
	Overlays *overlay.Store
	Jobs     *jobstore.Store
}

// maxLive is how many jobs at work a list of overlays looks at.
const maxLive = 1000

// View is the list for a visitor, with an empty form.
func (p OverlayList) View(w http.ResponseWriter, r *web.Request) (view.ListView, error) {
	live, err := p.Jobs.ListLive(r.Context(), maxLive)
	if err != nil {
		return view.ListView{}, err
	}
	active := map[int64]string{} // state by overlay
	for _, j := range live {
		if j.Operation == job.BuildOverlay.Name && active[j.Subject.ID] != string(job.Running) {
			active[j.Subject.ID] = string(j.State)
		}
	}
	all, err := p.Overlays.List(r.Context(), r.User)
	if err != nil {
		return view.ListView{}, err
	}
	list := view.ListView{Frame: r.Frame(w)}
	for _, o := range all {
		row := view.Row{ID: o.ID, Name: o.Name, Type: string(o.Type), Owner: o.OwnerName, Build: build(o)}
		row.Build.Active = active[o.ID]
		list.Overlays = append(list.Overlays, row)
	}
	for _, t := range overlay.Types(r.User) {
		list.Create.Types = append(list.Create.Types, string(t))
	}
	return list, nil
}

func build(o overlay.Overlay) view.Build {
	return view.Build{Status: o.LastBuildStatus, At: o.LastBuildAt, JobID: o.LastBuildJobID}
}

// OverlayPage fills the page of one overlay and its fragments.
type OverlayPage struct {
	overlays *overlay.Store
	items    *workshop.Store
	jobs     *jobstore.Store
	examples []string
}

// NewOverlayPage returns the page on d. Examples are texts to paste, for an overlay that is empty.
func NewOverlayPage(d *db.DB, now func() time.Time, examples []string) OverlayPage {
	jobs := jobstore.NewStore(d, now)
	return OverlayPage{overlays: overlay.NewStore(d, now), items: workshop.NewStore(d, now, jobs), jobs: jobs, examples: examples}
}

// View is the page for a visitor who may see o. Of the overlay's jobs it shows one that is at work or waits, else the one
// with the id seen, so that a page that has shown it learns how it ended.
//
// The jobs are read first, and o again after them: a page without a job at work asks no more, so that it must show what
// the last one left.
func (p OverlayPage) View(w http.ResponseWriter, r *web.Request, o overlay.Overlay, seen int64) (view.ShowView, error) {
	live, err := p.live(r, o, seen)
	if err != nil {
		return view.ShowView{}, err
	}
	if o, err = p.overlays.Get(r.Context(), o.ID); err != nil {
		return view.ShowView{}, err
	}
	items, err := p.items.OfOverlay(r.Context(), o.ID)
	if err != nil {
		return view.ShowView{}, err
	}
	show := view.ShowView{
		Frame:    r.Frame(w),
		ID:       o.ID,
		Name:     o.Name,
		Type:     string(o.Type),
		Owner:    o.OwnerName,
		Path:     "overlays/" + o.Path(),
		Build:    build(o),
		Live:     live,
		CanEdit:  o.EditableBy(r.User) && o.Type == overlay.Workshop,
		CanBuild: o.EditableBy(r.User),
		Examples: p.examples,
	}
	if live.Job.ID != 0 && !live.Job.Ended() {
		show.Build.Active, show.Build.JobID = live.Job.State, live.Job.ID
	}
	for _, i := range items {
		show.Items = append(show.Items, item(i))
	}
	return show, nil
}

func item(i workshop.Item) view.Item {
	shown := view.Item{
		ID:         i.ID,
		SteamID:    string(i.SteamID),
		Title:      i.Title,
		PreviewURL: i.PreviewURL,
		Size:       i.FileSize,
		Downloaded: i.DownloadedAt,
		State:      i.State(),
	}
	if i.Updated > 0 {
		shown.Updated = time.Unix(i.Updated, 0)
	}
	return shown
}

// live is the job that the page tells about: the one at work rather than one that waits behind it.
func (p OverlayPage) live(r *web.Request, o overlay.Overlay, seen int64) (view.Live, error) {
	jobs, err := p.jobs.LiveOfOverlay(r.Context(), o.ID)
	switch {
	case err != nil:
		return view.Live{}, err
	case len(jobs) > 0:
		j := jobs[len(jobs)-1]
		return view.Live{Job: Summary(j), Progress: Progress(j)}, nil
	case seen != 0:
		j, err := p.jobs.Get(r.Context(), seen)
		if err != nil || j.Subject.ID != o.ID {
			return view.Live{}, nil // a number that somebody made up
		}
		return view.Live{Job: Summary(j), Progress: Progress(j)}, nil
	}
	return view.Live{}, nil
}

// Changed answers a form that changed what o holds: a new table for htmx, a redirect to the page otherwise (P16).
func (p OverlayPage) Changed(w http.ResponseWriter, r *web.Request, o overlay.Overlay, done view.Outcome) error {
	if !r.Fragment() {
		notice := done.Sentence()
		if notice != "" {
			notice += "."
		}
		return r.Redirect(w, route.OverlayShow.URL(o.ID), notice)
	}
	show, err := p.View(w, r, o, 0)
	if err != nil {
		return err
	}
	show.Outcome = done
	return r.Render(w, http.StatusOK, view.Changed(show))
}

// Removed is the outcome of taking an item out.
func Removed(i workshop.Item, jobID int64) view.Outcome {
	shown := item(i)
	return view.Outcome{Removed: &shown, JobID: jobID}
}

// Added is the outcome of an import.
func Added(a workshop.Added) view.Outcome {
	return view.Outcome{
		Added:       a.New,
		Already:     a.Already,
		Unavailable: len(a.Unavailable),
		Collections: a.Collections,
		Skipped:     a.Skipped,
		JobID:       a.JobID,
	}
}
