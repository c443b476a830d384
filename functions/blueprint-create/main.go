// Command blueprint-create makes a blueprint with an empty stack.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/blueprint"
	"left4me/templates/web"
)

func main() { web.HTTP(route.BlueprintCreate, build) }

func build(env *fn.Env) web.Handler {
	return web.HandlerFunc(handler{page: view.NewListPage(env)}.serve)
}
