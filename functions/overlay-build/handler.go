package main

import (
	"net/http"

	"left4me/shared/overlay"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

type handler struct {
	overlays *overlay.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request, o overlay.Overlay) error {
	build, err := h.overlays.RequestBuild(r.Context(), r.User, o.ID)
	if err != nil {
		return err
	}
	return view.Asked(w, r, o, build, "")
}
