package main

import (
	"net/http"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/fn/fntest"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
)

func TestWhoMayCancel(t *testing.T) {
	s := fntest.New(t)
	anna, bert, root := s.Person("anna", false), s.Person("bert", false), s.Person("root", true)
	o := s.Overlay(anna, "annas", overlay.Workshop)
	if _, err := jobstore.NewStore(s.Env.DB, time.Now).EnqueueBuild(t.Context(), s.Env.DB, o.ID, root.ID); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user   account.User
		path   string
		status int
		state  job.State
	}{
		{account.User{}, "/jobs/1/cancel", http.StatusUnauthorized, job.Queued},
		{bert, "/jobs/1/cancel", http.StatusForbidden, job.Queued},
		{anna, "/jobs/2/cancel", http.StatusNotFound, job.Queued},
		{anna, "/jobs/1/cancel", http.StatusSeeOther, job.Cancelled}, // of her overlay, though root asked for it
		{root, "/jobs/1/cancel", http.StatusSeeOther, job.Cancelled}, // once more
	} {
		got := s.Visitor(c.user, route.JobCancel, build).Post(c.path)
		if got.StatusCode != c.status || s.Count(`SELECT COUNT(*) FROM jobs WHERE state = ?`, string(c.state)) != 1 {
			t.Errorf("%s posts %s: %d, want %d and the job %s", c.user.Name, c.path, got.StatusCode, c.status, c.state)
		}
	}
}

func TestARunningJobIsAsked(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	o := s.Overlay(anna, "annas", overlay.Workshop)
	jobs := jobstore.NewStore(s.Env.DB, time.Now)
	if _, err := jobs.EnqueueBuild(t.Context(), s.Env.DB, o.ID, anna.ID); err != nil {
		t.Fatal(err)
	}
	if _, found, err := jobs.Claim(t.Context(), "test", job.Runnable()); err != nil || !found {
		t.Fatal(found, err)
	}
	v := s.Visitor(anna, route.JobCancel, build)
	for range 2 {
		if got := v.Post("/jobs/1/cancel"); got.Header.Get("Location") != "/jobs/1" {
			t.Errorf("%d to %q", got.StatusCode, got.Header.Get("Location"))
		}
		if s.Count(`SELECT COUNT(*) FROM jobs WHERE state = 'cancelling'`) != 1 {
			t.Error("the job is not being cancelled")
		}
	}
}
