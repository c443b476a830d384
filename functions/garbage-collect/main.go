// Command garbage-collect enqueues, for an administrator, the removal of what nobody needs in the cache.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/fn/ring"
	"left4me/shared/jobstore"
	"left4me/shared/route"
	"left4me/shared/web"
)

func main() { fn.HTTP(route.GarbageCollect, build) }

func build(env *fn.Env) web.Handler {
	return handler{db: env.DB, jobs: jobstore.New(env.DB), ring: ring.New(env)}.serve
}
