// Command overlay-use shows how game servers use one overlay.
package main

import (
	"context"
	"net/http"

	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/host"
	"left4me/shared/overlay"
	"left4me/shared/route"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

func main() { web.HTTP(route.OverlayUse, build) }

func build(env *fn.Env) web.Handler {
	overlays, hosts := overlay.NewStore(env.DB, env.Now, env.Jobs), host.NewStore(env.DB, env.Now, env.Jobs)
	find := func(ctx context.Context, r *web.Request) (v view.UseView, err error) {
		err = r.Together(ctx,
			func(ctx context.Context) (err error) {
				v.Overlay, err = web.ByID(overlays.Get)(ctx, r)
				return err
			},
			db.Into(&v.Hosts, hosts.List))
		return v, err
	}
	return web.About(find, view.UseView.Visible, func(w http.ResponseWriter, r *web.Request, v view.UseView) error {
		v.Frame = r.Frame(w)
		return web.Render(w, r, http.StatusOK, v, view.Use)
	})
}
