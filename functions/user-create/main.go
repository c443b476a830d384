// Command user-create makes an account for somebody.
package main

import (
	"left4me/shared/account"
	"left4me/shared/fn"
	"left4me/shared/present"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { fn.HTTP(route.UserCreate, build) }

func build(env *fn.Env) web.Handler {
	accounts := account.NewStore(env.DB, env.Now)
	return handler{accounts: accounts, page: present.PeoplePage{Accounts: accounts}}.serve
}
