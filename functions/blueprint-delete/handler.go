package main

import (
	"fmt"
	"net/http"

	"left4me/shared/blueprint"
	"left4me/shared/route"
	view "left4me/templates/blueprint"
	"left4me/templates/web"
)

type handler struct {
	page view.ShowPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request, b blueprint.Blueprint) error {
	if r.PostForm.Get("confirm") != "yes" {
		return h.page.Refuse(w, r, http.StatusBadRequest, b, view.ShowView{DeleteError: "Please tick the box to confirm. Nothing was deleted."})
	}
	err := h.page.Blueprints.Delete(r.Context(), b.ID)
	if p, ok := web.Problem(w, err); ok && p.Status == http.StatusConflict {
		return h.page.Refuse(w, r, p.Status, b, view.ShowView{DeleteError: p.Sentence})
	}
	if err != nil {
		return err
	}
	return r.Redirect(w, route.BlueprintList.URL(), fmt.Sprintf("“%s” is deleted.", b.Name))
}
