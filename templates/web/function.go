package web

import (
	"net/http"

	"github.com/aws/aws-lambda-go/lambda"

	"left4me/shared/account"
	"left4me/shared/fn"
	"left4me/shared/fn/lambdahttp"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/route"
)

// HTTP is the main of a function that serves route r, with the handler that build returns. HTTP does not return.
func HTTP(r route.Route, build func(*fn.Env) Handler) {
	env := fn.Start(r.Name)
	a := newApp(env)
	host := env.Settings.PublicURL.Host
	if env.Settings.AnyHost {
		host = "" // that of each request
	}
	lambda.Start(&lambdahttp.Adapter{
		Handler: a.function(r, build(env)),
		Host:    host,
		Failed:  http.HandlerFunc(a.failed),
		Log:     env.Log,
	})
}

// Function returns the http.Handler of the function of r: h behind all the checks that the route asks for.
func Function(env *fn.Env, r route.Route, h Handler) http.Handler {
	return newApp(env).function(r, h)
}

func newApp(env *fn.Env) *app { return &app{env, account.NewStore(env.DB, env.Now)} }

// Enqueue returns the handler of a form that enqueues one job of operation, about the whole system, for the person signed in. It
// redirects to the list of all jobs, with a notice that says whether the job is new.
func Enqueue(env *fn.Env, operation job.Operation) Handler {
	return HandlerFunc(func(w http.ResponseWriter, r *Request) error {
		e, err := env.Jobs.Enqueue(r.Context(), env.DB, jobstore.Request{Operation: operation, UserID: r.User.ID})
		if err != nil {
			return err
		}
		return r.Redirect(w, route.AdminJobs.URL(), e.Sentence(operation))
	})
}
