// Command token-change makes and revokes the tokens with which programs act for a person.
package main

import (
	"left4me/shared/account"
	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { web.HTTP(route.TokenChange, build) }

func build(env *fn.Env) web.Handler {
	return web.HandlerFunc(handler{accounts: account.NewStore(env.DB, env.Now)}.serve)
}
