// Command password-change gives the person who is signed in another password.
package main

import (
	"left4me/shared/account"
	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { web.HTTP(route.PasswordChange, build) }

func build(env *fn.Env) web.Handler {
	h := handler{accounts: account.NewStore(env.DB, env.Now)}
	everybody := func(account.Password, account.User) error { return nil } // it is their own
	return web.About(h.find, everybody, h.serve)
}
