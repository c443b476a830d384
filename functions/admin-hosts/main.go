// Command admin-hosts shows all hosts.
package main

import (
	"net/http"

	"left4me/shared/fn"
	"left4me/shared/host"
	"left4me/shared/route"
	view "left4me/templates/admin"
	"left4me/templates/web"
)

func main() { web.HTTP(route.AdminHosts, build) }

func build(env *fn.Env) web.Handler {
	hosts := host.NewStore(env.DB, env.Now, env.Jobs)
	return web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error {
		all, err := hosts.ListAll(r.Context())
		if err != nil {
			return err
		}
		return web.Render(w, r, http.StatusOK, view.HostsView{Frame: r.Frame(w), Hosts: all}, view.Hosts)
	})
}
