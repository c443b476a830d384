// Command healthz tells a monitor whether pages can be served: 200 when the database can be read and written.
package main

import (
	"left4me/shared/account"
	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { web.HTTP(route.Health, build) }

func build(env *fn.Env) web.Handler {
	return web.HandlerFunc(handler{accounts: account.NewStore(env.DB, env.Now)}.serve)
}
