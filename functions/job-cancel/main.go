// Command job-cancel asks for a job to be cancelled.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/job"
	"left4me/templates/web"
)

func main() { web.HTTP(route.JobCancel, build) }

func build(env *fn.Env) web.Handler {
	return view.About(env.Jobs, handler{jobs: env.Jobs}.serve)
}
