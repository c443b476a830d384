package overlay

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	"left4me/shared/overlay"
	"left4me/shared/problem"
	"left4me/shared/route"
	"left4me/shared/workshop"
	"left4me/templates/web"
)

// ListPage answers with the list of overlays.
type ListPage struct {
	Overlays *overlay.Store
}

// NewListPage returns the page with stores on env's database.
func NewListPage(env *fn.Env) ListPage {
	return ListPage{Overlays: overlay.NewStore(env.DB, env.Now, env.Jobs)}
}

// Render answers with the list of what the person may see, and a form for a new overlay. What was asked for (Overlays.Query) and the form
// are the caller's.
func (p ListPage) Render(w http.ResponseWriter, r *web.Request, status int, v ListView) (err error) {
	if v.Overlays, err = p.Overlays.List(r.Context(), r.User, v.Overlays.Query); err != nil {
		return err
	}
	v.Frame = r.ListFrame(w, v.list())
	return r.Render(w, status, List(v))
}

// UsePage answers with the instructions for one overlay.
type UsePage struct {
	Overlays *overlay.Store
	Hosts    *host.Store
}

// Serve answers with the page, if the person may see the overlay.
func (p UsePage) Serve(w http.ResponseWriter, r *web.Request) error {
	id, err := r.ID("id")
	if err != nil {
		return err
	}
	v := UseView{Frame: r.Frame(w)}
	err = r.Together(
		func(ctx context.Context) (err error) {
			v.Overlay, err = p.Overlays.Visible(ctx, r.User, id)
			return err
		},
		db.Into(&v.Hosts, p.Hosts.List),
	)
	if err != nil {
		return err
	}
	return r.Render(w, http.StatusOK, Use(v))
}

// ShowPage answers with the page of one overlay and with its fragments.
type ShowPage struct {
	Overlays *overlay.Store
	Items    *workshop.Store
	Jobs     *jobstore.Store
	Hosts    *host.Store
	// Examples are texts to paste into an empty overlay.
	Examples []string
}

// NewShowPage returns the page with stores on env's database.
func NewShowPage(env *fn.Env) ShowPage {
	return ShowPage{
		Overlays: overlay.NewStore(env.DB, env.Now, env.Jobs),
		Items:    workshop.NewStore(env.DB, env.Now, env.Jobs),
		Jobs:     env.Jobs,
		Hosts:    host.NewStore(env.DB, env.Now, env.Jobs),
		Examples: env.Settings.Examples,
	}
}

// Render answers with the page of an overlay that the person may see. What was asked for (Items.Query) and the fields of v that say what
// was refused are the caller's.
func (p ShowPage) Render(w http.ResponseWriter, r *web.Request, status int, overlayID int64, v ShowView) error {
	if err := p.fill(w, r, overlayID, &v); err != nil {
		return err
	}
	return r.Render(w, status, Show(v))
}

// RenderNews answers a page that polls. SeenJob, SeenState and Items.Query of v are what that page shows. Until the job has ended, only
// its row is read.
func (p ShowPage) RenderNews(w http.ResponseWriter, r *web.Request, overlayID int64, v ShowView) error {
	v.Overlay = overlay.Overlay{ID: overlayID}
	j, err := p.Jobs.Get(r.Context(), v.SeenJob)
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

// RenderChanged answers a form that changed the overlay's items, on a page that showed q: with a new table for htmx, else with a
// redirect to the page (P16).
func (p ShowPage) RenderChanged(w http.ResponseWriter, r *web.Request, overlayID int64, q list.Query, outcome Outcome) error {
	if !r.Fragment() {
		notice := outcome.Sentence()
		if notice != "" {
			notice += "."
		}
		return r.Redirect(w, q.URL(route.OverlayShow.URL(overlayID)), notice)
	}
	v := ShowView{Outcome: outcome}
	v.Items.Query = q
	if err := p.fill(w, r, overlayID, &v); err != nil {
		return err
	}
	return r.Render(w, http.StatusOK, Changed(v))
}

// fill reads what v shows from the database, if the person may see the overlay. The job is read first: a page whose job has ended
// does not poll any more, so it must show what that job has left.
func (p ShowPage) fill(w http.ResponseWriter, r *web.Request, overlayID int64, v *ShowView) error {
	var live []jobstore.Job
	var seen jobstore.Job
	q := v.Items.Query
	err := r.Together(
		func(ctx context.Context) (err error) {
			live, err = p.Jobs.LiveOf(ctx, job.Overlay(overlayID))
			return err
		},
		func(ctx context.Context) (err error) {
			if v.SeenJob != 0 {
				seen, err = p.Jobs.Get(ctx, v.SeenJob)
			}
			if errors.Is(err, jobstore.ErrNotFound) {
				return nil
			}
			return err
		},
		func(ctx context.Context) (err error) {
			v.Overlay, err = p.Overlays.Visible(ctx, r.User, overlayID)
			return err
		},
		func(ctx context.Context) (err error) {
			v.Items, err = p.Items.List(ctx, overlayID, q)
			return err
		},
		func(ctx context.Context) (err error) {
			v.Sum, err = p.Items.Sum(ctx, overlayID)
			return err
		},
		func(ctx context.Context) (err error) {
			v.Others, err = p.Overlays.Beside(ctx, r.User, overlayID)
			return err
		},
		func(ctx context.Context) (err error) {
			v.Waiting, err = p.Items.Waiting(ctx, overlayID)
			return err
		},
		db.Into(&v.Hosts, p.Hosts.List),
	)
	if err != nil {
		return err
	}
	// The oldest job that has not ended is the running one if one runs. If none is left, the page shows how the one that it has
	// shown ended, unless that is not one of this overlay's.
	if len(live) > 0 {
		v.Job = live[len(live)-1]
	} else if seen.Subject == job.Overlay(overlayID) {
		v.Job = seen
	}
	v.Frame, v.Examples = r.ListFrame(w, v.list()), p.Examples
	return nil
}

// Selected returns the ids (workshop_items.id) of the items that were selected in a form, each once. The error is a problem (400): it is
// none, or not an id.
func Selected(r *web.Request) ([]int64, error) {
	values := r.PostForm[ItemField]
	if len(values) == 0 {
		return nil, problem.Invalid("Please choose at least one item. Nothing was changed.")
	}
	ids := make([]int64, len(values))
	for n, value := range values {
		id, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return nil, problem.Invalid("“%s” is not an item. Nothing was changed.", value)
		}
		ids[n] = id
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
