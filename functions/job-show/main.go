// Command job-show shows one job with its log, and answers its page when it polls.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/job"
	"left4me/templates/web"
)

func main() { web.HTTP(route.JobShow, build) }

func build(env *fn.Env) web.Handler {
	return view.About(env.Jobs, handler{jobs: env.Jobs}.serve)
}
