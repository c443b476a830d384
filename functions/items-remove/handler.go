package main

import (
	"net/http"
	"strconv"

	"left4me/shared/problem"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

type handler struct {
	page view.ShowPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	o, err := web.ByID(r, "id", h.page.Overlays.Editable)
	if err != nil {
		return err
	}
	chosen := r.PostForm[view.ItemField]
	if len(chosen) == 0 {
		return problem.Invalid("Please choose at least one item. Nothing was removed.")
	}
	ids := make([]int64, len(chosen))
	for n, id := range chosen {
		if ids[n], err = strconv.ParseInt(id, 10, 64); err != nil {
			return problem.Invalid("“%s” is not an item. Nothing was removed.", id)
		}
	}
	removed, build, err := h.page.Items.Remove(r.Context(), r.User, o, ids)
	if err != nil {
		return err
	}
	return h.page.RenderChanged(w, r, o.ID, view.Outcome{Removed: removed, JobID: build.ID})
}
