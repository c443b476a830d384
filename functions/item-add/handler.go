package main

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"left4me/shared/overlay"
	"left4me/shared/present"
	"left4me/shared/problem"
	"left4me/shared/steam"
	"left4me/shared/workshop"
	view "left4me/templates/overlay"
	"left4me/templates/page"
	"left4me/templates/web"
)

// steamTime leaves the rest of the route's 30 s for the database and the answer.
const steamTime = 25 * time.Second

type handler struct {
	overlays *overlay.Store
	items    *workshop.Store
	steam    *steam.Client
	page     present.OverlayPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	o, err := web.ByID(r, "id", h.overlays.Editable)
	if err != nil {
		return err
	}
	form, err := r.Form()
	if err != nil {
		return err
	}
	added, err := h.paste(r, o, form.Get("input"), form.Get("input_mode"))
	if p, ok := problem.As(err); ok && o.Type == overlay.Workshop { // the page of another one has no box
		return h.refuse(w, r, o, form, p)
	}
	if err != nil {
		return err
	}
	return h.page.Changed(w, r, o, present.Added(added))
}

func (h handler) paste(r *web.Request, o overlay.Overlay, input, mode string) (workshop.Added, error) {
	ids, err := workshop.ParseInput(input)
	if err != nil {
		return workshop.Added{}, err
	}
	if mode == "" {
		mode = string(workshop.Auto)
	}
	ctx, stop := context.WithTimeout(r.Context(), steamTime)
	defer stop()
	return h.items.Add(ctx, h.steam, r.User, o, ids, workshop.Mode(mode))
}

// refuse shows the sentence beside the box, with what was pasted still in it.
func (h handler) refuse(w http.ResponseWriter, r *web.Request, o overlay.Overlay, form url.Values, p *problem.Problem) error {
	show, err := h.page.View(w, r, o, 0)
	if err != nil {
		return err
	}
	show.Input, show.InputMode, show.InputError = form.Get("input"), form.Get("input_mode"), p.Sentence
	if r.Fragment() {
		page.Aim(w.Header(), view.AddErrorID)
		return r.Render(w, p.Status, view.AddError(p.Sentence))
	}
	return r.Render(w, p.Status, view.Show(show))
}
