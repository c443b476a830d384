package webhook

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"left4me/shared/account"
	"left4me/shared/fn"
	"left4me/shared/job"
	"left4me/shared/problem"
	"left4me/shared/webhook"
	"left4me/templates/web"
)

// ListPage answers with the list of webhooks.
type ListPage struct {
	Webhooks *webhook.Store
}

// NewListPage returns the page with a store on env's database.
func NewListPage(env *fn.Env) ListPage { return ListPage{NewStore(env)} }

// NewStore returns a store on env's database.
func NewStore(env *fn.Env) *webhook.Store { return webhook.NewStore(env.DB, env.Now, env.Jobs) }

// About reads in a query or a form what webhooks are about; given is false if nothing is named, which is the panel. The error is a problem
// (400).
func About(v url.Values) (about job.Subject, given bool, err error) {
	for _, kind := range []job.Kind{job.Overlays, job.Servers} {
		if !v.Has(string(kind)) {
			continue
		}
		id, err := strconv.ParseInt(v.Get(string(kind)), 10, 64)
		if err != nil || id <= 0 {
			return job.Subject{}, false, problem.Invalid("“%s” is not the id of a %s.", v.Get(string(kind)), kind)
		}
		return job.Subject{Kind: kind, ID: id}, true, nil
	}
	return job.Subject{}, false, nil
}

// Render answers with the webhooks about v.About, or all that the person may see. About, All, Webhooks.Query and the form are the caller's.
func (p ListPage) Render(w http.ResponseWriter, r *web.Request, status int, v ListView) error {
	q := v.Webhooks.Query
	reads := []func(context.Context) error{func(ctx context.Context) (err error) {
		v.Webhooks, err = p.Webhooks.List(ctx, r.User, v.All, v.About, q)
		return err
	}}
	if !v.All {
		reads = append(reads, func(ctx context.Context) (err error) {
			v.AboutName, err = p.Webhooks.Subject(ctx, r.User, v.About)
			return err
		})
	}
	if err := r.Together(r.Context(), reads...); err != nil {
		return err
	}
	v.Frame = r.ListFrame(w, v.list())
	return web.Render(w, r, status, v, List)
}

// ShowPage answers with the page of a webhook.
type ShowPage struct {
	Webhooks *webhook.Store
}

// Find reads, for web.About, the webhook {id} with its deliveries.
func (p ShowPage) Find(ctx context.Context, r *web.Request) (v ShowView, err error) {
	id, err := r.ID("id")
	if err != nil {
		return v, err
	}
	err = r.Together(ctx,
		func(ctx context.Context) (err error) {
			v.Webhook, err = p.Webhooks.Get(ctx, id)
			return err
		},
		func(ctx context.Context) (err error) {
			v.Deliveries, err = p.Webhooks.Deliveries(ctx, id)
			return err
		})
	return v, err
}

// Editable returns nil if u may see the webhook, else a problem (403).
func (v ShowView) Editable(u account.User) error { return v.Webhook.Editable(u) }

// Serve answers with the page of the v that Find has read.
func (p ShowPage) Serve(w http.ResponseWriter, r *web.Request, v ShowView) error {
	v.Frame = r.Frame(w)
	return web.Render(w, r, http.StatusOK, v, Show)
}
