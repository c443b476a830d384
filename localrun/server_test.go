package main_test

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"left4me/shared/db/dbtest"
)

// TestOverAServer runs testdata/server: programs whose database is a libSQL server.
func TestOverAServer(t *testing.T) {
	t.Parallel()
	s := dbtest.ServeEmpty(t, func(s *dbtest.Server) { s.Token = "a token" })
	testscript.Run(t, scripts("testdata/server", "DATABASE_URL", s.URL, "DATABASE_AUTH_TOKEN", s.Token))
}
