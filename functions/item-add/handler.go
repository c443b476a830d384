package main

import (
	"net/http"
	"strings"

	"left4me/shared/overlay"
	"left4me/shared/steam"
	"left4me/shared/workshop"
	view "left4me/templates/overlay"
	"left4me/templates/page"
	"left4me/templates/web"
)

type handler struct {
	steam *steam.Client
	page  view.ShowPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	o, err := web.ByID(r, "id", h.page.Overlays.Editable)
	if err != nil {
		return err
	}
	q, err := workshop.Listing.Parse(r.PostForm)
	if err != nil {
		return err
	}
	added, err := h.paste(r, o, r.PostForm.Get("input"), r.PostForm.Get("input_mode"))
	if p, ok := web.Problem(w, err); ok && o.Type.HoldsItems { // other pages have no box
		if r.Fragment() {
			page.Retarget(w.Header(), view.AddErrorID)
			return r.Render(w, p.Status, view.AddError(p.Sentence))
		}
		v := view.ShowView{Input: r.PostForm.Get("input"), InputMode: r.PostForm.Get("input_mode"), InputError: p.Sentence}
		v.Items.Query = q
		return h.page.Render(w, r, p.Status, o.ID, v)
	}
	if err != nil {
		return err
	}
	outcome := view.Outcome{Added: added, JobID: added.JobID}
	if removed := r.PostForm[view.RestoreField]; len(removed) > 0 {
		addedAt := view.ParseRestore(removed)
		if err := h.page.Items.Restore(r.Context(), o, addedAt); err != nil {
			return err
		}
		id, _, _ := strings.Cut(removed[0], " ")
		outcome.Restored = steam.ID(id)
	}
	return h.page.RenderChanged(w, r, o.ID, q, outcome)
}

func (h handler) paste(r *web.Request, o overlay.Overlay, input, mode string) (workshop.Added, error) {
	ids, err := workshop.ParseInput(input)
	if err != nil {
		return workshop.Added{}, err
	}
	if mode == "" {
		mode = string(workshop.Auto)
	}
	return h.page.Items.Add(r.Context(), h.steam, r.User, o, ids, workshop.Mode(mode))
}
