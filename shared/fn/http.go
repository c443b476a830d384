package fn

import (
	"net/http"

	"github.com/aws/aws-lambda-go/lambda"

	"left4me/shared/account"
	"left4me/shared/fn/lambdahttp"
	"left4me/shared/route"
	"left4me/shared/web"
)

// HTTP is the main of a function that serves route r: build makes the handler from the environment. HTTP does not return.
func HTTP(r route.Route, build func(*Env) web.Handler) {
	env := start(r.Name)
	site := app(env)
	lambda.Start(&lambdahttp.Adapter{
		Handler: site.Serve(r, build(env)),
		Host:    env.Settings.PublicURL.Host,
		Failed:  http.HandlerFunc(site.Failed),
		Log:     env.Log,
	})
}

// Handler returns the http.Handler of route r: h behind all that r asks for.
func Handler(env *Env, r route.Route, h web.Handler) http.Handler {
	return app(env).Serve(r, h)
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
