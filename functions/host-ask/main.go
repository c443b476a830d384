// Command host-ask asks an administrator before a host is removed.
package main

import (
	"net/http"

	"left4me/shared/fn"
	"left4me/shared/host"
	"left4me/shared/route"
	view "left4me/templates/admin"
	"left4me/templates/web"
)

func main() { web.HTTP(route.HostAsk, build) }

func build(env *fn.Env) web.Handler {
	hosts := host.NewStore(env.DB, env.Now, env.Jobs)
	return web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error {
		h, err := hosts.Get(r.Context(), r.PathValue("id"))
		if err == nil {
			err = h.Removable(env.Now())
		}
		if err != nil {
			return err
		}
		return web.Render(w, r, http.StatusOK, view.AskHostView{Frame: r.Frame(w), Host: h}, view.AskHost)
	})
}
