// Command job-list shows the jobs that a person may see, newest first.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { web.HTTP(route.JobList, build) }

func build(env *fn.Env) web.Handler {
	return web.HandlerFunc(handler{jobs: env.Jobs}.serve)
}
