package fn

import (
	"net/http"

	"github.com/aws/aws-lambda-go/lambda"

	"left4me/shared/account"
	"left4me/shared/fn/lambdahttp"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/route"
	"left4me/templates/web"
)

// HTTP is the main of a function that serves route r: build makes the handler from the environment. HTTP does not return.
func HTTP(r route.Route, build func(*Env) web.Handler) {
	env := start(r.Name)
	site := app(env)
	lambda.Start(&lambdahttp.Adapter{
		Handler: handler(env, site, r, build(env)),
		Host:    env.Settings.PublicURL.Host,
		Failed:  http.HandlerFunc(site.Failed),
		Log:     env.Log,
	})
}

// Handler returns the http.Handler of route r: h behind all that r asks for.
func Handler(env *Env, r route.Route, h web.Handler) http.Handler {
	return handler(env, app(env), r, h)
}

func handler(env *Env, site *web.App, r route.Route, h web.Handler) http.Handler {
	return site.Serve(r, func(w http.ResponseWriter, r *web.Request) error {
		defer env.wakeAgent(r.Context())
		return h(w, r)
	})
}

func app(env *Env) *web.App {
	return &web.App{
		Accounts:     account.NewStore(env.DB, env.Now),
		PublicURL:    env.Settings.PublicURL,
		OriginSecret: env.Settings.OriginSecret,
		PictureHosts: env.Settings.SteamHosts.Origins(),
		Version:      Version,
		Now:          env.Now,
		Log:          env.Log,
		RequestID:    lambdahttp.RequestID,
	}
}

// Enqueue returns the handler of a form that enqueues one job of operation, about the whole system, for whoever sent it. It
// leads to the list of all jobs and says there whether the job is new.
func Enqueue(env *Env, operation job.Operation) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		e, err := env.Jobs.Enqueue(r.Context(), env.DB, jobstore.Request{Operation: operation, UserID: r.User.ID})
		if err != nil {
			return err
		}
		return r.Redirect(w, route.AdminJobs.URL(), e.Sentence(operation))
	}
}
