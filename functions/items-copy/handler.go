package main

import (
	"context"
	"net/http"
	"strconv"

	"left4me/shared/account"
	"left4me/shared/overlay"
	"left4me/shared/problem"
	"left4me/shared/workshop"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

type handler struct {
	page view.ShowPage
}

// copying is the overlay {id}, and the one to which items of it are to be copied.
type copying struct{ from, to overlay.Overlay }

func (c copying) editable(u account.User) error {
	if err := c.from.Editable(u); err != nil {
		return err
	}
	return c.to.Editable(u)
}

func (h handler) find(ctx context.Context, r *web.Request) (c copying, err error) {
	toID, invalid := strconv.ParseInt(r.PostForm.Get(view.CopyToField), 10, 64)
	err = r.Together(ctx,
		func(ctx context.Context) (err error) {
			c.from, err = web.ByID(h.page.Overlays.Get)(ctx, r)
			return err
		},
		func(ctx context.Context) (err error) {
			if invalid != nil {
				return problem.Invalid("Please choose the overlay to copy to. Nothing was changed.")
			}
			c.to, err = h.page.Overlays.Get(ctx, toID)
			return err
		})
	return c, err
}

func (h handler) serve(w http.ResponseWriter, r *web.Request, c copying) error {
	q, err := workshop.Listing.Parse(r.PostForm)
	if err != nil {
		return err
	}
	items, err := view.Selected(r)
	if err != nil {
		return err
	}
	return h.page.Change(w, r, c.from, q, func(ctx context.Context) (view.Outcome, error) {
		added, err := h.page.Items.Copy(ctx, r.User, c.from, items, c.to)
		return view.Outcome{Added: added, CopiedTo: c.to.Name, JobID: added.JobID}, err
	})
}
