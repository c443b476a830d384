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
	overlayID, err := strconv.ParseInt(r.PostForm.Get("overlay_id"), 10, 64)
	if err != nil {
		err = problem.Invalid("Please choose an overlay.")
	} else {
		err = h.page.Blueprints.Add(r.Context(), r.User, b.ID, overlayID)
	}
	return h.page.Stacked(w, r, b, overlayID, err)
}
