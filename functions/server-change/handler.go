package main

import (
	"net/http"

	"left4me/shared/route"
	"left4me/shared/server"
	view "left4me/templates/server"
	"left4me/templates/web"
)

type handler struct {
	page view.ShowPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request, s server.Server) error {
	sent, meant, err := view.Sent(r)
	if err == nil {
		err = h.page.Servers.Change(r.Context(), r.User, s, meant)
	}
	if p, ok := r.Problem(w, err); ok && p.Status != http.StatusNotFound {
		sent.Error = p.Sentence
		return h.page.Refuse(w, r, p.Status, s.ID, view.ShowView{Change: sent})
	}
	if err != nil {
		return err
	}
	return r.Redirect(w, route.ServerShow.URL(s.ID), "The settings are saved.")
}
