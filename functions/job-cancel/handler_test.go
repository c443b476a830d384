package main

import (
	"net/http"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/db/dbtest"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestAQueuedJobIsCancelledOnce(t *testing.T) {
	s := fntest.New(t)
	anna, root := s.Person("anna", false), s.Person("root", true)
	o := s.Overlay(anna, "annas", overlay.Workshop)
	if _, err := jobstore.NewStore(s.Env.DB, time.Now).Enqueue(t.Context(), s.Env.DB, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(o.ID), UserID: root.ID}); err != nil {
		t.Fatal(err)
	}
	for _, user := range []account.User{anna, root} { // of her overlay, though root asked for it; and once more
		got := s.Visitor(user, route.JobCancel, build).Post("/jobs/1/cancel")
		if got.StatusCode != http.StatusSeeOther || s.Count(`SELECT COUNT(*) FROM jobs WHERE state = 'cancelled'`) != 1 {
			t.Errorf("%s: %d", user.Name, got.StatusCode)
		}
	}
}

func TestARunningJobIsBeingCancelled(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	o := s.Overlay(anna, "annas", overlay.Workshop)
	jobs := jobstore.NewStore(s.Env.DB, time.Now)
	dbtest.AddHost(t, s.Env.DB, "here", s.Env.Now())
	if _, err := jobs.Enqueue(t.Context(), s.Env.DB, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(o.ID), UserID: anna.ID}); err != nil {
		t.Fatal(err)
	}
	if _, found, err := jobs.Claim(t.Context(), jobstore.Worker{Name: "test", Host: "here"}, job.Runnable()); err != nil || !found {
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
