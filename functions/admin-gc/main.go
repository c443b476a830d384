// Command admin-gc enqueues the job that removes the files in the cache that no overlay needs. Only administrators may.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/job"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { web.HTTP(route.AdminGC, build) }

func build(env *fn.Env) web.Handler { return web.Enqueue(env, job.CollectGarbage) }
