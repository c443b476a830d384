package main

import (
	"net/http"
	"strconv"

	"left4me/shared/blueprint"
	"left4me/shared/problem"
	view "left4me/templates/blueprint"
	"left4me/templates/web"
)

type handler struct {
	page view.ShowPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request, b blueprint.Blueprint) error {
	overlayID, err := r.ID("overlay_id")
	if err != nil {
		return err
	}
	to, err := strconv.Atoi(r.PostForm.Get("to"))
	if err != nil {
		err = problem.Invalid("“%s” is not a place in the stack. The first is 1.", r.PostForm.Get("to"))
	} else {
		err = h.page.Blueprints.Move(r.Context(), b.ID, overlayID, to)
	}
	return h.page.Stacked(w, r, b, overlayID, err)
}
