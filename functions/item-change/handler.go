package main

import (
	"context"
	"net/http"

	"left4me/shared/overlay"
	"left4me/shared/workshop"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

type handler struct {
	page view.ShowPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request, o overlay.Overlay) error {
	q, err := workshop.Listing.Parse(r.PostForm)
	if err != nil {
		return err
	}
	id, err := r.ID("item_id")
	if err != nil {
		return err
	}
	return h.page.Change(w, r, o, q, func(ctx context.Context) (view.Outcome, error) {
		item, build, err := h.page.Items.Rename(ctx, r.User, o, id, r.PostForm.Get(view.LinkField))
		if err != nil {
			return view.Outcome{}, err
		}
		return view.Outcome{Renamed: item, JobID: build.ID}, nil
	})
}
