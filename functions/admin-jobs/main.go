// Command admin-jobs shows the jobs of all people, starting with those that have not ended.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { web.HTTP(route.AdminJobs, build) }

func build(env *fn.Env) web.Handler {
	return web.HandlerFunc(handler{jobs: env.Jobs}.serve)
}
