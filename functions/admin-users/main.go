// Command admin-users shows all people.
package main

import (
	"left4me/shared/account"
	"left4me/shared/fn"
	"left4me/shared/present"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { fn.HTTP(route.AdminUsers, build) }

func build(env *fn.Env) web.Handler {
	return handler{page: present.PeoplePage{Accounts: account.NewStore(env.DB, env.Now)}}.serve
}
