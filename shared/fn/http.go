package fn

import (
	"context"
	"net/http"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/shared/web"
)

// Handler returns the http.Handler of route r: h behind all that r asks for.
func Handler(env *Env, r route.Route, h web.Handler) http.Handler {
	return app(env).Serve(r, h)
}

func app(env *Env) *web.App {
	return &web.App{
		Accounts:     account.NewStore(env.DB, env.Now),
		PublicURL:    env.Settings.PublicURL,
		PictureHosts: env.Settings.SteamHosts.Origins(),
		Version:      Version,
		Now:          env.Now,
		Log:          env.Log,
		RequestID:    func(c context.Context) string { return "" },
	}
}

func HTTP(r route.Route, build func(*Env) web.Handler) {}
func stack() string { return "" }
