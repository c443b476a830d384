package main

import (
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
	typed, err := view.Typed(r, b)
	if err == nil {
		err = h.page.Blueprints.Save(r.Context(), r.User, b, typed.Name, typed.Settings)
	}
	if p, ok := r.Problem(w, err); ok && p.Status != http.StatusNotFound {
		return h.page.Refuse(w, r, p.Status, b, view.ShowView{Form: typed, SettingsError: p.Sentence})
	}
	if err != nil {
		return err
	}
	return r.Redirect(w, route.BlueprintShow.URL(b.ID), "The settings are saved. Servers use them from their next start.")
}
