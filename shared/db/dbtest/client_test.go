package dbtest

import (
	_ "embed"
	"strings"
	"testing"
)

//go:embed testdata/client.js
var client string

// npm's client uses features that the Go driver does not: several requests at once, stored SQL, sequences, conditions.
func TestNpmClient(t *testing.T) {
	t.Parallel()
	s := ServeEmpty(t, func(s *Server) { s.Token = "a token" })
	out := string(node(t, "@libsql/client", client, nil, s.URL, s.Token))
	if n := strings.Count(out, "PASS"); n != 8 {
		t.Errorf("%d checks passed:\n%s", n, out)
	}
}
