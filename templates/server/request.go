package server

import (
	"context"
	"net/http"
	"strconv"

	"github.com/a-h/templ"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/route"
	"left4me/shared/server"
	"left4me/templates/web"
)

// ListPage answers with the list of servers.
type ListPage struct {
	Servers *server.Store
}

// NewListPage returns the page with stores on env's database.
func NewListPage(env *fn.Env) ListPage {
	return ListPage{Servers: server.NewStore(env.DB, env.Now, env.Jobs)}
}

// Render answers with the list of what the person may see, and for administrators a form for a new server. What was asked for
// (Servers.Query) and the form are the caller's.
func (p ListPage) Render(w http.ResponseWriter, r *web.Request, status int, v ListView) error {
	q := v.Servers.Query
	reads := []func(context.Context) error{func(ctx context.Context) (err error) {
		v.Servers, err = p.Servers.List(ctx, r.User, q)
		return err
	}}
	if r.User.Admin {
		reads = append(reads, db.Into(&v.FreePort, p.Servers.FreePort), func(ctx context.Context) (err error) {
			v.Choices, err = p.Servers.Choices(ctx, r.User)
			return err
		})
	}
	if err := r.Together(r.Context(), reads...); err != nil {
		return err
	}
	v.Frame = r.ListFrame(w, v.list())
	return web.Render(w, r, status, v, List)
}

// ShowPage answers with the page of one server and with its fragments.
type ShowPage struct {
	Servers *server.Store
	Jobs    *jobstore.Store
}

// NewShowPage returns the page with stores on env's database.
func NewShowPage(env *fn.Env) ShowPage {
	return ShowPage{Servers: server.NewStore(env.DB, env.Now, env.Jobs), Jobs: env.Jobs}
}

// Find reads, for web.About, the server {id} and its job. What a page that polls has shown is in the query.
func (p ShowPage) Find(ctx context.Context, r *web.Request) (v ShowView, err error) {
	v.SeenJob, v.SeenState = r.Number(JobParam), job.State(r.URL.Query().Get(StateParam))
	v.SeenVersion = r.URL.Query().Get(LiveParam)
	v.SeenLine, v.SeenLines = r.Number(ConsoleParam), int(r.Number(LinesParam))
	v.Watches = r.URL.Query().Has(ConsoleParam)
	id, err := r.ID("id")
	if err != nil {
		return v, err
	}
	reads := []func(context.Context) error{p.head(r, id, &v)}
	if asksLive(r) || asksConsole(r) {
		reads[0] = func(ctx context.Context) (err error) {
			v.Server, err = p.Servers.Get(ctx, id)
			return err
		}
	}
	if v.Watches {
		reads = append(reads, p.lines(id, &v))
	}
	err = r.Together(ctx, reads...)
	return v, err
}

// asksLive is whether a page asks for what has changed on it.
func asksLive(r *web.Request) bool { return r.Fragment() && r.URL.Query().Has(LiveParam) }

// Editable returns nil if u may see the server, else a problem (403).
func (v ShowView) Editable(u account.User) error { return v.Server.Editable(u) }

// Serve answers with the page of the v that Find has read, or, when it polls, with what has changed: until its job is in another state,
// nothing else is read for that.
func (p ShowPage) Serve(w http.ResponseWriter, r *web.Request, v ShowView) error {
	if asksLive(r) {
		return p.serveLive(w, r, v)
	}
	if v.Watches {
		if err := p.Servers.WatchConsole(r.Context(), v.Server); err != nil {
			return err
		}
	}
	if asksConsole(r) {
		return p.render(w, r, http.StatusOK, v, ConsoleNews)
	}
	polls := r.Fragment() && r.URL.Query().Has(JobParam)
	if polls && v.active() && !v.changed() {
		v.Frame = r.Frame(w)
		return web.Render(w, r, http.StatusOK, v, News)
	}
	if err := p.rest(r, v.Server.ID, &v)(r.Context()); err != nil {
		return err
	}
	if polls {
		return p.render(w, r, http.StatusOK, v, News)
	}
	return p.render(w, r, http.StatusOK, v, Show)
}

// serveLive is Serve for a page that asks for what has changed on it.
func (p ShowPage) serveLive(w http.ResponseWriter, r *web.Request, v ShowView) error {
	v.Frame = r.Frame(w)
	if v.liveChanged() {
		id := v.Server.ID
		if err := r.Together(r.Context(), p.head(r, id, &v), p.rest(r, id, &v)); err != nil {
			return err
		}
	}
	return p.render(w, r, http.StatusOK, v, LiveNews)
}

// Refuse answers a form about a server with its page. The fields of v that say what was refused are the caller's.
func (p ShowPage) Refuse(w http.ResponseWriter, r *web.Request, status int, id int64, v ShowView) error {
	if err := r.Together(r.Context(), p.head(r, id, &v), p.rest(r, id, &v)); err != nil {
		return err
	}
	return p.render(w, r, status, v, Show)
}

// head returns a function that reads the server and its job into v. The job comes first: a page whose job has ended does not poll any
// more, so it must show what that job has left.
func (p ShowPage) head(r *web.Request, id int64, v *ShowView) func(context.Context) error {
	return func(ctx context.Context) error {
		var live []jobstore.Job
		var seen jobstore.Job
		err := r.Together(ctx,
			func(ctx context.Context) (err error) {
				live, err = p.Jobs.LiveOf(ctx, job.Server(id))
				return err
			},
			func(ctx context.Context) (err error) {
				seen, err = p.Jobs.Seen(ctx, v.SeenJob, job.Server(id))
				return err
			},
			func(ctx context.Context) (err error) {
				v.Server, err = p.Servers.Get(ctx, id)
				return err
			})
		// The oldest job that has not ended is the running one if one runs.
		if len(live) > 0 {
			v.Job = live[len(live)-1]
		} else {
			v.Job = seen
		}
		return err
	}
}

// shownEvents is how many events the page shows, and shownRuns how many runs.
const (
	shownEvents = 30
	shownRuns   = 10
)

// rest returns a function that reads into v what head does not.
func (p ShowPage) rest(r *web.Request, id int64, v *ShowView) func(context.Context) error {
	return func(ctx context.Context) error {
		return r.Together(ctx,
			func(ctx context.Context) (err error) {
				if v.Runs, err = p.Servers.Runs(ctx, id, shownRuns); len(v.Runs) > 0 {
					v.Run = v.Runs[0]
				}
				return err
			},
			func(ctx context.Context) (err error) {
				v.Populations, err = p.Servers.Populations(ctx, id, chartTime)
				return err
			},
			func(ctx context.Context) (err error) {
				v.Stack, err = p.Servers.LastStack(ctx, id)
				return err
			},
			func(ctx context.Context) (err error) {
				v.Events, err = p.Servers.Events(ctx, id, shownEvents)
				return err
			},
			func(ctx context.Context) (err error) {
				v.Players, err = p.Servers.Players(ctx, id)
				return err
			},
			func(ctx context.Context) (err error) {
				v.Campaigns, err = p.Servers.Campaigns(ctx, id)
				return err
			},
			func(ctx context.Context) (err error) {
				v.Choices, err = p.Servers.Choices(ctx, r.User)
				return err
			})
	}
}

// render answers with body of v, which head and rest have read.
func (p ShowPage) render(w http.ResponseWriter, r *web.Request, status int, v ShowView, body func(ShowView) templ.Component) error {
	v.Frame, v.Origin = r.Frame(w), r.Origin()
	return web.Render(w, r, status, v, body)
}

// Sent returns the form of a request, as it was sent and as what it means. A field that is no number is 0, which the store refuses. The error is
// a problem (400): what was sent is no restart policy.
func Sent(r *web.Request) (sent Form, meant server.Form, err error) {
	get := r.PostForm.Get
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(get(name), 10, 64)
		return n
	}
	sent = Form{
		Name: get("name"), Host: get("host_id"), Port: get("port"), Blueprint: get("blueprint_id"), Owner: get("user_id"), Public: get("public") == "yes",
		Restart: get("restart"), RestartTime: get("restart_time"), RestartHours: get("restart_hours"),
	}
	meant = server.Form{Name: sent.Name, Port: int(number("port")), BlueprintID: number("blueprint_id"), OwnerID: number("user_id"), Public: sent.Public}
	if sent.Owner == "" {
		meant.OwnerID = r.User.ID
	}
	if sent.Restart != "" {
		meant.Policy, err = server.NewPolicy(server.PolicyKind(sent.Restart), sent.RestartTime, sent.RestartHours)
	}
	return sent, meant, err
}

// Changing returns the Handler of a form about the server {id}: answer gets the server, if the person may change it.
func Changing(servers *server.Store, answer func(http.ResponseWriter, *web.Request, server.Server) error) web.Handler {
	return web.About(web.ByID(servers.Get), server.Server.Editable, answer)
}

// Ask returns the Handler of a button: it has request enqueue a job about the server for the person, and leads to that job.
func Ask(servers *server.Store, request func(context.Context, account.User, server.Server) (*jobstore.Enqueued, error)) web.Handler {
	return Changing(servers, func(w http.ResponseWriter, r *web.Request, s server.Server) error { return ask(w, r, s, request) })
}

func ask(w http.ResponseWriter, r *web.Request, s server.Server, request func(context.Context, account.User, server.Server) (*jobstore.Enqueued, error)) error {
	e, err := request(r.Context(), r.User, s)
	if err != nil {
		return err
	}
	return r.Redirect(w, route.JobShow.URL(e.ID), "")
}

// Confirmed is Ask for a form with a box to tick. The page shows with refused why nothing was done.
func (p ShowPage) Confirmed(refused func(sentence string) ShowView, request func(context.Context, account.User, server.Server) (*jobstore.Enqueued, error)) web.Handler {
	return Changing(p.Servers, func(w http.ResponseWriter, r *web.Request, s server.Server) error {
		err := r.Confirmed("Nothing was removed.")
		if err == nil {
			err = ask(w, r, s, request)
		}
		if why, ok := r.Problem(w, err); ok && why.Status != http.StatusNotFound {
			return p.Refuse(w, r, why.Status, s.ID, refused(why.Sentence))
		}
		return err
	})
}
