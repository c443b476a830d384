// Command host-check enqueues the job that looks for a newer release of the game on a host. Only administrators may.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/job"
	"left4me/shared/route"
	"left4me/templates/admin"
	"left4me/templates/web"
)

func main() { web.HTTP(route.HostCheck, build) }

func build(env *fn.Env) web.Handler { return admin.RequestGame(env, job.CheckGame) }
