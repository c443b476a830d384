package main

import (
	"net/http"

	"left4me/shared/route"
	"left4me/shared/webhook"
	"left4me/templates/web"
	view "left4me/templates/webhook"
)

type handler struct {
	page view.ListPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	about, given, err := view.About(r.PostForm)
	if err != nil {
		return err
	}
	form := webhook.Form{URL: r.PostForm.Get("url"), Format: webhook.Format(r.PostForm.Get("format")), Private: r.PostForm.Get("private") == "yes"}
	for _, k := range r.PostForm["event"] {
		form.Events = append(form.Events, webhook.Kind(k))
	}
	id, err := h.page.Webhooks.Create(r.Context(), r.User, about, form)
	if p, ok := r.Problem(w, err); ok && (p.Status == http.StatusBadRequest || p.Status == http.StatusConflict) {
		return h.page.Render(w, r, p.Status, view.ListView{About: about, All: !given, Create: view.Form{Form: form, Error: p.Sentence}})
	}
	if err != nil {
		return err
	}
	return r.Redirect(w, route.WebhookShow.URL(id), "The webhook is added. Send a test to see whether it works.")
}
