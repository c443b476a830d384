package main

import (
	"fmt"
	"net/http"

	"left4me/shared/account"
	"left4me/shared/problem"
	"left4me/templates/web"
)

type handler struct {
	accounts *account.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	if err := h.accounts.Check(r.Context()); err != nil {
		return &problem.Problem{Status: http.StatusServiceUnavailable, Sentence: "The database does not answer.", Cause: fmt.Errorf("health: %w", err)}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := fmt.Fprintln(w, "ok")
	return err
}
