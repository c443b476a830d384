package admin

import (
	"context"
	"net/http"

	"left4me/shared/account"
	"left4me/shared/fn"
	"left4me/shared/game"
	"left4me/shared/job"
	"left4me/shared/route"
	"left4me/templates/web"
)

// RequestGame returns the handler of a form that enqueues a job of operation, game.Store.Request, on the host of the path, and redirects
// to the job.
func RequestGame(env *fn.Env, operation job.Operation) web.Handler {
	releases := game.NewStore(env.DB, env.Now, env.Jobs)
	return web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error {
		e, err := releases.Request(r.Context(), operation, r.PathValue("id"), r.User.ID)
		if err != nil {
			return err
		}
		return r.Redirect(w, route.JobShow.URL(e.ID), "")
	})
}

// PeoplePage answers with the page of all people.
type PeoplePage struct {
	Accounts *account.Store
}

// Render answers with the page. What was asked for (People.Query) and the fields of v apart from Frame are the caller's.
func (p PeoplePage) Render(w http.ResponseWriter, r *web.Request, status int, v PeopleView) error {
	if err := p.people(&v)(r.Context()); err != nil {
		return err
	}
	return p.render(w, r, status, v)
}

// people returns a function that reads the people that v shows.
func (p PeoplePage) people(v *PeopleView) func(context.Context) error {
	q := v.People.Query
	return func(ctx context.Context) (err error) {
		v.People, err = p.Accounts.People(ctx, q)
		return err
	}
}

func (p PeoplePage) render(w http.ResponseWriter, r *web.Request, status int, v PeopleView) error {
	v.Frame = r.ListFrame(w, v.list())
	return web.Render(w, r, status, v, People)
}

// ResetPassword gives a person a new password, and answers with the page, which shows it: a redirect would need to store it somewhere.
func (p PeoplePage) ResetPassword(w http.ResponseWriter, r *web.Request, id int64) error {
	var v PeopleView
	err := r.Then(func(ctx context.Context) error {
		person, password, err := p.Accounts.ResetPassword(ctx, id)
		v.NewPassword, v.NewPasswordOf = password, person.Name
		return err
	}, p.people(&v))
	if err != nil {
		return err
	}
	return p.render(w, r, http.StatusOK, v)
}

// Render answers with the page. Frame is the only field that is not the caller's.
func (v JobsView) Render(w http.ResponseWriter, r *web.Request) error {
	v.Frame = r.ListFrame(w, v.list())
	return web.Render(w, r, http.StatusOK, v, Jobs)
}
