// Command admin-refresh enqueues the job that refreshes all workshop items. Only administrators may.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/job"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { web.HTTP(route.AdminRefresh, build) }

func build(env *fn.Env) web.Handler { return web.Enqueue(env, job.RefreshWorkshopItems) }
