package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"left4me/shared/overlay"
	"left4me/shared/steam"
	"left4me/shared/text"
	"left4me/shared/workshop"
	view "left4me/templates/overlay"
	"left4me/templates/page"
	"left4me/templates/web"
)

type handler struct {
	page  view.ShowPage
	steam *steam.Client
	log   *slog.Logger
}

func (h handler) serve(w http.ResponseWriter, r *web.Request, o overlay.Overlay) error {
	found, err := h.page.Items.RefreshOverlay(r.Context(), h.steam, r.User, o)
	if p, ok := r.Problem(w, err); ok && !r.Fragment() {
		return h.page.Refuse(w, r, p.Status, o, view.ShowView{RefreshError: p.Sentence})
	}
	if err != nil {
		return err
	}
	for _, i := range found.Foreign {
		h.log.WarnContext(r.Context(), "item skipped: it is for another game", "overlay", o.ID, "item", i.SteamID, "app", i.ConsumerAppID)
	}
	return view.Asked(w, r, o, found.Builds[0].Enqueued, notice(found))
}

// notice summarizes a refresh.
func notice(found workshop.Refreshed) string {
	parts := []string{fmt.Sprintf("Refreshed from Steam: %d of %s changed", len(found.Changed), page.Count(found.Items, "item"))}
	if n := len(found.Unavailable) + len(found.Missing); n > 0 {
		parts = append(parts, fmt.Sprintf("%d cannot be downloaded from Steam", n))
	}
	if len(found.Foreign) > 0 {
		parts = append(parts, "skipped as made for another game now: "+list(found.Foreign))
	}
	return strings.Join(parts, ", ") + "."
}

// list names the first items, and counts the rest: a notice is stored in a cookie, which must stay small.
func list(items []steam.Item) string {
	var ids []string
	for _, i := range items {
		ids = append(ids, string(i.SteamID))
	}
	return text.List(ids, 5, ", ")
}
