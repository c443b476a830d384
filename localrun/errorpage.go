package main

import (
	"net/http"

	"left4me/localrun/gateway"
	"left4me/shared/api"
	"left4me/shared/fn"
	"left4me/templates/page"
)

// errorPage writes p as a page, as a fragment for htmx, or as JSON for a program.
func errorPage(w http.ResponseWriter, r *http.Request, p gateway.Problem) {
	page.SetSecurityHeaders(w.Header())
	v := page.ErrorView{Frame: page.Frame{Version: fn.Version}, Status: p.Status, Sentence: p.Sentence}
	if p.Status >= http.StatusInternalServerError {
		v.RequestID = p.RequestID
	}
	if api.Wanted(r) {
		_ = api.WriteProblem(w, v.Status, v.Sentence, v.RequestID) // fails only if the client has closed the connection
		return
	}
	body := page.Error(v)
	if r.Header.Get("HX-Request") == "true" {
		body = page.ErrorFragment(v)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(p.Status)
	_ = body.Render(r.Context(), w) // fails only if the browser has closed the connection
}
