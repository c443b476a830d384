package main

import (
	"net/http"

	"left4me/localrun/gateway"
	"left4me/shared/fn"
	"left4me/templates/page"
)

// errorPage writes p as a page, or as a fragment for htmx.
func errorPage(w http.ResponseWriter, r *http.Request, p gateway.Problem) {
	v := page.ErrorView{Frame: page.Frame{Version: fn.Version}, Status: p.Status, Sentence: p.Sentence}
	if p.Status >= http.StatusInternalServerError {
		v.RequestID = p.RequestID
	}
	body := page.Error(v)
	if r.Header.Get("HX-Request") == "true" {
		body = page.ErrorFragment(v)
	}
	page.SetSecurityHeaders(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(p.Status)
	_ = body.Render(r.Context(), w) // fails only if the browser has closed the connection
}
