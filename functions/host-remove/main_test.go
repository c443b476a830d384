package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"left4me/shared/db/dbtest"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestOnlyAHostThatIsGoneIsRemoved(t *testing.T) {
	s := fntest.New(t)
	root := s.Person("root", true)
	v := s.Visitor(root, route.HostRemove, build)
	dbtest.AddHost(t, s.Env.DB, "attic", s.Env.Now().Add(-time.Hour))
	dbtest.AddHost(t, s.Env.DB, "cellar", s.Env.Now())
	if _, err := overlay.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs).Create(t.Context(), root, "maps", "workshop"); err != nil {
		t.Fatal(err)
	}
	if got := v.Post("/admin/hosts/cellar/delete"); got.StatusCode != http.StatusConflict || !strings.Contains(got.Text("#error"), "stop its agent, or wait") {
		t.Errorf("while its agent runs: %d %s", got.StatusCode, got.Text("#error"))
	}
	if got := v.Post("/admin/hosts/attic/delete"); got.StatusCode != http.StatusSeeOther || got.Location() != "/admin/hosts" {
		t.Errorf("a silent host: %d to %s", got.StatusCode, got.Location())
	}
	for query, want := range map[string]int{
		`SELECT COUNT(*) FROM hosts`: 1,
		`SELECT COUNT(*) FROM jobs WHERE host_id = 'attic' AND state = 'cancelled'`: 1,
		`SELECT COUNT(*) FROM jobs WHERE host_id = 'cellar' AND state = 'queued'`:   1,
	} {
		if got := s.Count(query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	if got := v.Post("/admin/hosts/attic/delete"); got.StatusCode != http.StatusNotFound {
		t.Errorf("once more: %d", got.StatusCode)
	}
}
