package main

import (
	"context"
	"net/http"
	"strconv"

	"left4me/shared/overlay"
	"left4me/shared/problem"
	"left4me/shared/workshop"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

type handler struct {
	page view.ShowPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	id, err := r.ID("id")
	if err != nil {
		return err
	}
	toID, invalid := strconv.ParseInt(r.PostForm.Get(view.CopyToField), 10, 64)
	var o, to overlay.Overlay
	err = r.Together(
		func(ctx context.Context) (err error) {
			o, err = h.page.Overlays.Editable(ctx, r.User, id)
			return err
		},
		func(ctx context.Context) (err error) {
			if invalid != nil {
				return problem.Invalid("Please choose the overlay to copy to. Nothing was changed.")
			}
			to, err = h.page.Overlays.Editable(ctx, r.User, toID)
			return err
		})
	if err != nil {
		return err
	}
	q, err := workshop.Listing.Parse(r.PostForm)
	if err != nil {
		return err
	}
	items, err := view.Selected(r)
	if err != nil {
		return err
	}
	added, err := h.page.Items.Copy(r.Context(), r.User, o, items, to)
	if err != nil {
		return err
	}
	return h.page.RenderChanged(w, r, o.ID, q, view.Outcome{Added: added, CopiedTo: to.Name, JobID: added.JobID})
}
