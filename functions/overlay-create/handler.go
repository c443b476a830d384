package main

import (
	"context"
	"net/http"

	"left4me/shared/db"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/present"
	"left4me/shared/problem"
	"left4me/shared/route"
	"left4me/shared/web"
	view "left4me/templates/overlay"
)

type handler struct {
	db       *db.DB
	overlays *overlay.Store
	jobs     *jobstore.Store
	ring     func(context.Context)
	page     present.OverlayList
}

func (h handler) serve(w http.ResponseWriter, v *web.Visit) error {
	form, err := v.Form()
	if err != nil {
		return err
	}
	name, typ := form.Get("name"), form.Get("type")
	var id int64
	err = h.db.InTx(v.Context(), func(ctx context.Context, q db.Querier) error {
		if id, err = h.overlays.Create(ctx, q, v.User, name, overlay.Type(typ)); err != nil {
			return err
		}
		_, err = h.jobs.EnqueueBuild(ctx, q, id, v.User.ID)
		return err
	})
	if p, ok := problem.As(err); ok {
		list, err := h.page.View(w, v)
		if err != nil {
			return err
		}
		list.Create.Name, list.Create.Type, list.Create.Error = name, typ, p.Sentence
		return v.Render(w, p.Status, view.List(list))
	}
	if err != nil {
		return err
	}
	h.ring(v.Context())
	return v.Redirect(w, route.OverlayShow.URL(id), "")
}
