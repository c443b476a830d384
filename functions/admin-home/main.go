// Command admin-home shows an overview: people, overlays, items, jobs, the last refresh, the game hosts.
package main

import (
	"left4me/shared/account"
	"left4me/shared/fn"
	"left4me/shared/host"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/workshop"
	"left4me/templates/web"
)

func main() { web.HTTP(route.AdminHome, build) }

func build(env *fn.Env) web.Handler {
	return web.HandlerFunc(handler{
		accounts: account.NewStore(env.DB, env.Now),
		overlays: overlay.NewStore(env.DB, env.Now, env.Jobs),
		items:    workshop.NewStore(env.DB, env.Now, env.Jobs),
		jobs:     env.Jobs,
		hosts:    host.NewStore(env.DB, env.Now, env.Jobs),
	}.serve)
}
