// Command item-remove removes an item from an overlay and enqueues a build.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

func main() { web.HTTP(route.ItemRemove, build) }

func build(env *fn.Env) web.Handler {
	return view.NewShowPage(env).Remove(func(r *web.Request) ([]int64, error) {
		id, err := r.ID("item_id")
		return []int64{id}, err
	})
}
