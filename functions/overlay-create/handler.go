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
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

type handler struct {
	db       *db.DB
	overlays *overlay.Store
	jobs     *jobstore.Store
	page     present.OverlayList
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	form, err := r.Form()
	if err != nil {
		return err
	}
	name, typ := form.Get("name"), form.Get("type")
	var id int64
	err = h.db.InTx(r.Context(), func(ctx context.Context, q db.Querier) error {
		if id, err = h.overlays.Create(ctx, q, r.User, name, overlay.Type(typ)); err != nil {
			return err
		}
		_, err = h.jobs.EnqueueBuild(ctx, q, id, r.User.ID)
		return err
	})
	if p, ok := problem.As(err); ok {
		list, err := h.page.View(w, r)
		if err != nil {
			return err
		}
		list.Create.Name, list.Create.Type, list.Create.Error = name, typ, p.Sentence
		return r.Render(w, p.Status, view.List(list))
	}
	if err != nil {
		return err
	}
	return r.Redirect(w, route.OverlayShow.URL(id), "")
}
