package main

import (
	"cmp"
	"context"
	"net/http"
	"time"

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

func (h handler) serve(w http.ResponseWriter, r *web.Request, o overlay.Overlay) error {
	q, err := workshop.Listing.Parse(r.PostForm)
	if err != nil {
		return err
	}
	err = h.page.Change(w, r, o, q, func(ctx context.Context) (outcome view.Outcome, err error) {
		ids, err := workshop.ParseInput(r.PostForm.Get("input"))
		if err != nil {
			return outcome, err
		}
		var places map[steam.ID]time.Time
		outcome.Restored, places = view.ParseRestore(r.PostForm[view.RestoreField])
		mode := cmp.Or(workshop.Mode(r.PostForm.Get("input_mode")), workshop.Auto)
		outcome.Added, err = h.page.Items.Add(ctx, h.steam, r.User, o, ids, mode, places)
		outcome.JobID = outcome.Added.JobID
		return outcome, err
	})
	if p, ok := r.Problem(w, err); ok && o.Type.HoldsItems { // other pages have no box
		if r.Fragment() {
			page.Retarget(w.Header(), view.AddErrorID)
			return web.Render(w, r, p.Status, p.Sentence, view.AddError)
		}
		v := view.ShowView{Input: r.PostForm.Get("input"), InputMode: r.PostForm.Get("input_mode"), InputError: p.Sentence}
		v.Items.Query = q
		return h.page.Refuse(w, r, p.Status, o, v)
	}
	return err
}
