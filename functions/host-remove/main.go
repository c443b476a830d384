// Command host-remove removes a host that is gone for good.
package main

import (
	"net/http"

	"left4me/shared/fn"
	"left4me/shared/host"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { web.HTTP(route.HostRemove, build) }

func build(env *fn.Env) web.Handler {
	hosts := host.NewStore(env.DB, env.Now, env.Jobs)
	return web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error {
		h, err := hosts.Remove(r.Context(), r.PathValue("id"))
		if err != nil {
			return err
		}
		return r.Redirect(w, route.AdminHosts.URL(), "The host "+h.Name+" was removed.")
	})
}
