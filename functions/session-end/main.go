// Command session-end ends one of a person's own sessions, or all except the current one.
package main

import (
	"left4me/shared/account"
	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { web.HTTP(route.SessionEnd, build) }

func build(env *fn.Env) web.Handler {
	return web.HandlerFunc(handler{accounts: account.NewStore(env.DB, env.Now)}.serve)
}
