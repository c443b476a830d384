package overlay

import (
	"context"
	"errors"
	"net/http"

	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/hostinfo"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/workshop"
	"left4me/templates/web"
)

// ListPage answers with the list of overlays.
type ListPage struct {
	Overlays *overlay.Store
	Jobs     *jobstore.Store
}

// NewListPage returns the page with stores on env's database.
func NewListPage(env *fn.Env) ListPage {
	return ListPage{Overlays: overlay.NewStore(env.DB, env.Now, env.Jobs), Jobs: env.Jobs}
}

// maxLive is how many jobs that have not ended the list looks at.
const maxLive = 1000

// Render answers with the list that the person sees, and with a form for a new overlay.
func (p ListPage) Render(w http.ResponseWriter, r *web.Request, status int, form CreateForm) error {
	live, err := p.Jobs.ListLive(r.Context(), maxLive)
	if err != nil {
		return err
	}
	v := ListView{Frame: r.Frame(w), Building: map[int64]job.State{}, Create: form}
	for _, j := range live {
		if j.Operation == job.BuildOverlay.Name && v.Building[j.Subject.ID] != job.Running {
			v.Building[j.Subject.ID] = j.State
		}
	}
	if v.Overlays, err = p.Overlays.List(r.Context(), r.User); err != nil {
		return err
	}
	return r.Render(w, status, List(v))
}

// UsePage answers with the instructions for one overlay.
type UsePage struct {
	DB       *db.DB
	Overlays *overlay.Store
	Hosts    *hostinfo.Store
}

// Serve answers with the page, if the person may see the overlay.
func (p UsePage) Serve(w http.ResponseWriter, r *web.Request) error {
	id, err := r.ID("id")
	if err != nil {
		return err
	}
	v := UseView{Frame: r.Frame(w)}
	err = db.Together(r.Context(), p.DB,
		func(ctx context.Context) (err error) {
			v.Overlay, err = p.Overlays.Visible(ctx, r.User, id)
			return err
		},
		func(ctx context.Context) (err error) {
			v.Hosts, err = p.Hosts.List(ctx)
			return err
		})
	if err != nil {
		return err
	}
	return r.Render(w, http.StatusOK, Use(v))
}

// ShowPage answers with the page of one overlay and with its fragments.
type ShowPage struct {
	DB       *db.DB
	Overlays *overlay.Store
	Items    *workshop.Store
	Jobs     *jobstore.Store
	Hosts    *hostinfo.Store
	// Examples are texts to paste into an empty overlay.
	Examples []string
}

// NewShowPage returns the page with stores on env's database.
func NewShowPage(env *fn.Env) ShowPage {
	return ShowPage{
		DB:       env.DB,
		Overlays: overlay.NewStore(env.DB, env.Now, env.Jobs),
		Items:    workshop.NewStore(env.DB, env.Now, env.Jobs),
		Jobs:     env.Jobs,
		Hosts:    hostinfo.NewStore(env.DB, env.Now),
		Examples: env.Settings.Examples,
	}
}

// Render answers with the page of an overlay that the person may see. The fields of v that say what was refused are the caller's.
func (p ShowPage) Render(w http.ResponseWriter, r *web.Request, status int, overlayID int64, v ShowView) error {
	if err := p.fill(w, r, overlayID, &v); err != nil {
		return err
	}
	return r.Render(w, status, Show(v))
}

// RenderNews answers a page that polls. The page shows the job with the id seenJob in seenState. Until that job has ended, only its
// row is read.
func (p ShowPage) RenderNews(w http.ResponseWriter, r *web.Request, overlayID, seenJob int64, seenState job.State) error {
	v := ShowView{SeenJob: seenJob, SeenState: seenState, Overlay: overlay.Overlay{ID: overlayID}}
	j, err := p.Jobs.Get(r.Context(), seenJob)
	isOurs := err == nil && j.Subject == job.Overlay(overlayID)
	if err != nil && !errors.Is(err, jobstore.ErrNotFound) {
		return err
	}
	if !isOurs || !r.User.Admin && !j.Concerns(r.User.ID) {
		if _, err := p.Overlays.Visible(r.Context(), r.User, overlayID); err != nil {
			return err
		}
	}
	if isOurs && !j.State.Ended() {
		v.Frame, v.Job = r.Frame(w), j
	} else if err := p.fill(w, r, overlayID, &v); err != nil {
		return err
	}
	return r.Render(w, http.StatusOK, News(v))
}

// RenderChanged answers a form that changed the overlay's items: with a new table for htmx, else with a redirect to the page (P16).
func (p ShowPage) RenderChanged(w http.ResponseWriter, r *web.Request, overlayID int64, outcome Outcome) error {
	if !r.Fragment() {
		notice := outcome.Sentence()
		if notice != "" {
			notice += "."
		}
		return r.Redirect(w, route.OverlayShow.URL(overlayID), notice)
	}
	v := ShowView{Outcome: outcome}
	if err := p.fill(w, r, overlayID, &v); err != nil {
		return err
	}
	return r.Render(w, http.StatusOK, Changed(v))
}

// fill reads what v shows from the database. The job is read first: a page whose job has ended does not poll any more, so it
// must show what that job has left.
func (p ShowPage) fill(w http.ResponseWriter, r *web.Request, overlayID int64, v *ShowView) (err error) {
	if v.Job, err = p.job(r, overlayID, v.SeenJob); err != nil {
		return err
	}
	if v.Overlay, err = p.Overlays.Get(r.Context(), overlayID); err != nil {
		return err
	}
	err = db.Together(r.Context(), p.DB,
		func(ctx context.Context) (err error) {
			v.Items, err = p.Items.OfOverlay(ctx, overlayID)
			return err
		},
		func(ctx context.Context) (err error) {
			v.Waiting, err = p.Items.Waiting(ctx, overlayID)
			return err
		},
		func(ctx context.Context) (err error) {
			v.Hosts, err = p.Hosts.List(ctx)
			return err
		})
	if err != nil {
		return err
	}
	v.Frame, v.Examples = r.Frame(w), p.Examples
	return nil
}

// job returns the overlay's oldest job that has not ended, which is the running one if one runs; else the job with the id seen,
// so that the page can show how it ended; else the zero Job.
func (p ShowPage) job(r *web.Request, overlayID, seen int64) (jobstore.Job, error) {
	live, err := p.Jobs.LiveOf(r.Context(), job.Overlay(overlayID))
	if err != nil {
		return jobstore.Job{}, err
	}
	if len(live) > 0 {
		return live[len(live)-1], nil
	}
	if seen == 0 {
		return jobstore.Job{}, nil
	}
	j, err := p.Jobs.Get(r.Context(), seen)
	if errors.Is(err, jobstore.ErrNotFound) || err == nil && j.Subject != job.Overlay(overlayID) {
		return jobstore.Job{}, nil // not a number of one of our pages
	}
	return j, err
}
