package main

import (
	"net/http"
	"testing"

	"left4me/shared/account"
	"left4me/shared/fn/fntest"
	"left4me/shared/jobstore"
	"left4me/shared/route"
)

func TestOnlyAdministratorsSeeAllJobs(t *testing.T) {
	s := fntest.New(t)
	anna, root := s.Person("anna", false), s.Person("root", true)
	if _, err := jobstore.New(s.Env.DB).EnqueueBuild(t.Context(), s.Env.DB, 1, anna.ID); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[account.User]int{{}: http.StatusSeeOther, anna: http.StatusForbidden, root: http.StatusOK} {
		got := s.Visitor(user, route.AdminJobs, build).Get("/admin/jobs")
		if got.StatusCode != want {
			t.Errorf("%q: %d, want %d", user.Name, got.StatusCode, want)
		}
		if rows := got.Page(t).Find("table.jobs tbody tr").Length(); (rows == 1) != (want == http.StatusOK) {
			t.Errorf("%q sees %d jobs", user.Name, rows)
		}
	}
}

func TestABrokenDatabaseIsOurFault(t *testing.T) {
	s := fntest.New(t)
	v := s.Visitor(s.Person("root", true), route.AdminJobs, build)
	s.Break()
	if got := v.Get("/admin/jobs"); got.StatusCode != http.StatusInternalServerError {
		t.Errorf("%d", got.StatusCode)
	}
}
