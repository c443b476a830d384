package main

import (
	"net/http"
	"testing"

	"left4me/shared/account"
	"left4me/shared/fn/fntest"
	"left4me/shared/route"
)

const refresh = "/admin/workshop/refresh"

func TestOnlyAdministratorsRefreshEverything(t *testing.T) {
	s := fntest.New(t)
	for _, c := range []struct {
		user   account.User
		status int
	}{
		{account.User{}, http.StatusUnauthorized},
		{s.Person("anna", false), http.StatusForbidden},
	} {
		if got := s.Visitor(c.user, route.WorkshopRefresh, build).Post(refresh); got.StatusCode != c.status {
			t.Errorf("%q: %d, want %d", c.user.Name, got.StatusCode, c.status)
		}
	}
	v := s.Visitor(s.Person("root", true), route.WorkshopRefresh, build)
	if got := v.PostWith(nil, refresh, "csrf_token", "made up"); got.StatusCode != http.StatusForbidden {
		t.Errorf("without a valid token: %d", got.StatusCode)
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs`); n != 0 {
		t.Errorf("%d jobs", n)
	}
}

func TestARefreshIsEnqueuedOnceAndBothAnswersSaySo(t *testing.T) {
	s := fntest.New(t)
	root := s.Person("root", true)
	v := s.Visitor(root, route.WorkshopRefresh, build)
	for _, step := range []struct{ before, says string }{
		{"", "enqueued refresh_workshop_items job 1"},
		{"", "refresh_workshop_items job 1 already queued"},
		{`UPDATE jobs SET state = 'running', attempt = 1, started_at = 1, lease_until = 1`, "refresh_workshop_items job 1 already queued"},
		{`UPDATE jobs SET state = 'cancelling'`, "refresh_workshop_items job 1 already queued"},
		{`UPDATE jobs SET state = 'cancelled', finished_at = 1, lease_until = NULL`, "enqueued refresh_workshop_items job 2"},
	} {
		if step.before != "" {
			if _, err := s.Env.DB.ExecContext(t.Context(), step.before); err != nil {
				t.Fatal(err)
			}
		}
		got := v.Post(refresh)
		if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/admin/jobs" || got.Notice(t) != step.says {
			t.Errorf("%d to %q, saying %q, want %q", got.StatusCode, got.Header.Get("Location"), got.Notice(t), step.says)
		}
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'refresh_workshop_items' AND user_id = ?`, root.ID); n != 2 {
		t.Errorf("%d refreshes that root asked for, want 2", n)
	}
}

func TestABrokenDatabaseIsOurFault(t *testing.T) {
	s := fntest.New(t)
	v := s.Visitor(s.Person("root", true), route.WorkshopRefresh, build)
	s.Break()
	if got := v.Post(refresh); got.StatusCode != http.StatusInternalServerError {
		t.Errorf("%d", got.StatusCode)
	}
}
