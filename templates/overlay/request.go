package overlay

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"left4me/shared/account"
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
	return web.Render(w, r, status, v, List)
}

// Changing returns the Handler of a form about the overlay {id}: answer gets the overlay, if the person may change it (P8).
func Changing(overlays *overlay.Store, answer func(http.ResponseWriter, *web.Request, overlay.Overlay) error) web.Handler {
	return web.About(web.ByID(overlays.Get), overlay.Overlay.Editable, answer)
}

// Asked answers to a form that has asked for a build of o: it leads to the job or, on several hosts, to the jobs on the overlay's page. The
// page there shows notice, unless it is empty.
func Asked(w http.ResponseWriter, r *web.Request, o overlay.Overlay, build *jobstore.Enqueued, notice string) error {
	if build.Several {
		return r.Redirect(w, route.OverlayShow.URL(o.ID)+"#"+HostsSummaryID, notice)
	}
	return r.Redirect(w, route.JobShow.URL(build.ID), notice)
}

// ShowPage answers with the page of one overlay and with its fragments.
type ShowPage struct {
	Overlays *overlay.Store
	Items    *workshop.Store
	Jobs     *jobstore.Store
	Hosts    *host.Store
	DB       *db.DB
	// Examples are texts to paste into an empty overlay.
	Examples []string
	now      func() time.Time
}

// NewShowPage returns the page with stores on env's database.
func NewShowPage(env *fn.Env) ShowPage {
	return ShowPage{
		Overlays: overlay.NewStore(env.DB, env.Now, env.Jobs),
		Items:    workshop.NewStore(env.DB, env.Now, env.Jobs),
		Jobs:     env.Jobs,
		Hosts:    host.NewStore(env.DB, env.Now, env.Jobs),
		DB:       env.DB,
		Examples: env.Settings.Examples,
		now:      env.Now,
	}
}

// Find reads, for web.About, the overlay {id} and its job. What a page that polls has shown is in the query.
func (p ShowPage) Find(ctx context.Context, r *web.Request) (v ShowView, err error) {
	query := r.URL.Query()
	v.SeenJob, v.SeenState, v.SeenHosts = r.Number(JobParam), job.State(query.Get(StateParam)), query.Get(HostsParam)
	id, err := r.ID("id")
	if err == nil {
		err = p.head(r, id, &v)(ctx)
	}
	return v, err
}

// Visible returns nil if u may see the overlay, else a problem (403).
func (v ShowView) Visible(u account.User) error { return v.Overlay.Visible(u) }

// Serve answers with the page of the v that Find has read, or, when it polls, with what has changed: nothing else is read
// for that until its job has ended, or one on any of several hosts has begun or ended.
func (p ShowPage) Serve(w http.ResponseWriter, r *web.Request, v ShowView) (err error) {
	if v.Items.Query, err = workshop.Listing.Parse(r.URL.Query()); err != nil {
		return err
	}
	polls := r.Fragment() && r.URL.Query().Has(JobParam)
	if polls && !v.ended() && !v.hostsChanged() {
		v.Frame = r.Frame(w)
		return web.Render(w, r, http.StatusOK, v, News)
	}
	if err := p.rest(r, v.Overlay.ID, &v)(r.Context()); err != nil {
		return err
	}
	if polls {
		return p.render(w, r, http.StatusOK, v, News)
	}
	return p.render(w, r, http.StatusOK, v, Show)
}

// Refuse answers a form about o with its page. The fields of v that say what was refused, and Items.Query, are the caller's.
func (p ShowPage) Refuse(w http.ResponseWriter, r *web.Request, status int, o overlay.Overlay, v ShowView) error {
	if err := r.Together(r.Context(), p.head(r, o.ID, &v), p.rest(r, o.ID, &v)); err != nil {
		return err
	}
	return p.render(w, r, status, v, Show)
}

// Change calls change, which changes the items of o in one transaction, and answers its form, on a page that showed q: with a new table
// for htmx, else with a redirect to the page (P16).
func (p ShowPage) Change(w http.ResponseWriter, r *web.Request, o overlay.Overlay, q list.Query, change func(context.Context) (Outcome, error)) error {
	if !r.Fragment() {
		outcome, err := change(r.Context())
		if err != nil {
			return err
		}
		notice := outcome.Sentence()
		if notice != "" {
			notice += "."
		}
		return r.Redirect(w, q.URL(route.OverlayShow.URL(o.ID)), notice)
	}
	var v ShowView
	v.Items.Query = q
	if err := r.Then(db.Into(&v.Outcome, change), p.head(r, o.ID, &v), p.rest(r, o.ID, &v)); err != nil {
		return err
	}
	return p.render(w, r, http.StatusOK, v, Changed)
}

// Remove is the Handler of a form that removes from the overlay {id} the items, by workshop_items.id, that selected returns.
func (p ShowPage) Remove(selected func(*web.Request) ([]int64, error)) web.Handler {
	return Changing(p.Overlays, func(w http.ResponseWriter, r *web.Request, o overlay.Overlay) error {
		q, err := workshop.Listing.Parse(r.PostForm)
		if err != nil {
			return err
		}
		ids, err := selected(r)
		if err != nil {
			return err
		}
		return p.Change(w, r, o, q, func(ctx context.Context) (Outcome, error) {
			removed, build, err := p.Items.Remove(ctx, r.User, o, ids)
			if err != nil {
				return Outcome{}, err
			}
			return Outcome{Removed: removed, JobID: build.ID}, nil
		})
	})
}

// ChangeItems answers the form that changes items of o as ChangeField says.
func (p ShowPage) ChangeItems(w http.ResponseWriter, r *web.Request, o overlay.Overlay) error {
	q, err := workshop.Listing.Parse(r.PostForm)
	if err != nil {
		return err
	}
	what, one, isOne := strings.Cut(r.PostForm.Get(ChangeField), " ")
	one, text, _ := strings.Cut(one, " ")
	if isOne {
		r.PostForm[ItemField] = []string{one}
	}
	words := map[string]string{"disable": "disabled", "enable": "enabled", "pin": "pinned", "unpin": "unpinned"}[what]
	version, invalid := strconv.ParseInt(cmp.Or(text, "0"), 10, 64)
	if words == "" || invalid != nil || text != "" && what != "pin" {
		return problem.Invalid("“%s” cannot be done with items. Nothing was changed.", r.PostForm.Get(ChangeField))
	}
	ids, err := Selected(r)
	if err != nil {
		return err
	}
	return p.Change(w, r, o, q, func(ctx context.Context) (outcome Outcome, err error) {
		var build *jobstore.Enqueued
		switch what {
		case "pin":
			outcome.Set, build, err = p.Items.Pin(ctx, r.User, o, ids, version)
		case "unpin":
			outcome.Set, build, err = p.Items.Unpin(ctx, r.User, o, ids)
		default:
			outcome.Set, build, err = p.Items.Disable(ctx, r.User, o, ids, what == "disable")
		}
		if err != nil {
			return Outcome{}, err
		}
		outcome.SetTo, outcome.JobID = words, build.ID
		return outcome, nil
	})
}

// head returns a function that reads the overlay and its job into v. The job comes first, before the overlay and what rest reads: a page
// whose job has ended does not poll any more, so it must show what that job has left.
func (p ShowPage) head(r *web.Request, overlayID int64, v *ShowView) func(context.Context) error {
	return func(ctx context.Context) error {
		var seen jobstore.Job
		err := r.Together(ctx,
			func(ctx context.Context) (err error) {
				v.live, err = p.Jobs.LiveOf(ctx, job.Overlay(overlayID))
				return err
			},
			func(ctx context.Context) (err error) {
				seen, err = p.Jobs.Seen(ctx, v.SeenJob, job.Overlay(overlayID))
				return err
			},
			func(ctx context.Context) (err error) {
				v.Overlay, err = p.Overlays.Get(ctx, overlayID)
				return err
			})
		// If no job is left, the page shows how the one that it has shown ended, unless that is not one of this overlay's.
		if len(v.live) > 0 {
			v.Job = mostActive(v.live, p.now())
		} else {
			v.Job = seen
		}
		return err
	}
}

// rest returns a function that reads into v what head does not.
func (p ShowPage) rest(r *web.Request, overlayID int64, v *ShowView) func(context.Context) error {
	q := v.Items.Query
	return func(ctx context.Context) error {
		return r.Together(ctx,
			func(ctx context.Context) (err error) {
				v.Items, err = p.Items.List(ctx, overlayID, q)
				return err
			},
			func(ctx context.Context) (err error) {
				v.Sum, err = p.Items.Sum(ctx, overlayID)
				return err
			},
			func(ctx context.Context) (err error) {
				v.Campaigns, err = workshop.Campaigns(ctx, p.DB, []int64{overlayID})
				return err
			},
			func(ctx context.Context) (err error) {
				v.Conflicts, err = p.Items.Conflicts(ctx, overlayID)
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
			func(ctx context.Context) (err error) {
				v.builds, err = p.Overlays.HostBuilds(ctx, overlayID)
				return err
			})
	}
}

// mostActive returns the oldest of the jobs that run, else of those that a host will run soon, else of those whose host is silent. The
// jobs are the newest first, at least one.
func mostActive(live []jobstore.Job, now time.Time) jobstore.Job {
	idleness := func(j jobstore.Job) int {
		switch {
		case host.Silent(j.HostSeenAt, now):
			return 2
		case j.State == job.Queued:
			return 1
		}
		return 0
	}
	return slices.MinFunc(live, func(a, b jobstore.Job) int {
		return cmp.Or(cmp.Compare(idleness(a), idleness(b)), cmp.Compare(a.ID, b.ID))
	})
}

// onHosts joins hosts with the last builds of an overlay there and with its jobs that have not ended, the newest first. It returns
// nothing unless there are several hosts.
func onHosts(hosts []host.Host, builds []overlay.HostBuild, live []jobstore.Job) []OnHost {
	if len(hosts) < 2 {
		return nil
	}
	all, at := make([]OnHost, len(hosts)), map[string]int{}
	for i, h := range hosts {
		all[i].Host, at[h.ID] = h, i
	}
	for _, b := range builds {
		if i, found := at[b.HostID]; found {
			all[i].Build = b
		}
	}
	for _, j := range live { // the oldest is the last: the running one if one runs
		if i, found := at[j.HostID]; found {
			all[i].Job = j
		}
	}
	return all
}

// render answers with body of v, which head and rest have read.
func (p ShowPage) render(w http.ResponseWriter, r *web.Request, status int, v ShowView, body func(ShowView) templ.Component) error {
	v.Frame, v.Examples, v.OnHosts = r.ListFrame(w, v.list()), p.Examples, onHosts(v.Hosts, v.builds, v.live)
	return web.Render(w, r, status, v, body)
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
