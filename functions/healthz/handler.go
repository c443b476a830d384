package main

import (
	"fmt"
	"net/http"

	"left4me/shared/db"
	"left4me/shared/problem"
	"left4me/templates/web"
)

type handler struct {
	db *db.DB
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	// A table of ours, so that a database that was never migrated is no healthy one.
	var any bool
	if err := h.db.QueryRowContext(r.Context(), `SELECT EXISTS (SELECT 1 FROM users)`).Scan(&any); err != nil {
		return &problem.Problem{Status: http.StatusServiceUnavailable, Sentence: "The database does not answer.", Cause: fmt.Errorf("health: %w", err)}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := fmt.Fprintln(w, "ok")
	return err
}
