// Command items-remove removes the chosen items from an overlay and enqueues a build.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

func main() { web.HTTP(route.ItemsRemove, build) }

func build(env *fn.Env) web.Handler { return view.NewShowPage(env).Remove(view.Selected) }
