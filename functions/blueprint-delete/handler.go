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
	err := r.Confirmed("Nothing was deleted.")
	if err == nil {
		err = h.page.Blueprints.Delete(r.Context(), b.ID)
	}
	if p, ok := r.Problem(w, err); ok && p.Status != http.StatusNotFound {
		return h.page.Refuse(w, r, p.Status, b, view.ShowView{DeleteError: p.Sentence})
	}
	if err != nil {
		return err
	}
	return r.Redirect(w, route.BlueprintList.URL(), fmt.Sprintf("“%s” is deleted.", b.Name))
}
