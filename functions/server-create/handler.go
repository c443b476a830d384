package main

import (
	"net/http"

	"left4me/shared/route"
	view "left4me/templates/server"
	"left4me/templates/web"
)

type handler struct {
	page view.ListPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	sent, meant, err := view.Sent(r)
	var id int64
	if err == nil {
		id, _, err = h.page.Servers.Create(r.Context(), r.User, sent.Host, meant)
	}
	if p, ok := r.Problem(w, err); ok {
		sent.Error = p.Sentence
		return h.page.Render(w, r, p.Status, view.ListView{Create: sent})
	}
	if err != nil {
		return err
	}
	return r.Redirect(w, route.ServerShow.URL(id), "")
}
