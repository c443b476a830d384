// Command blueprint-remove takes an overlay out of the stack of a blueprint.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/blueprint"
	"left4me/templates/web"
)

func main() { web.HTTP(route.BlueprintRemove, build) }

func build(env *fn.Env) web.Handler {
	page := view.NewShowPage(env)
	return view.Changing(page.Blueprints, handler{page}.serve)
}
