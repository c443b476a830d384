package main

import (
	"net/http"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestPeopleSeeTheirJobs(t *testing.T) {
	s := fntest.New(t)
	anna, bert, root := s.Person("anna", false), s.Person("bert", false), s.Person("root", true)
	jobs := jobstore.NewStore(s.Env.DB, time.Now)
	for _, asked := range []struct {
		owner, by account.User
	}{{anna, anna}, {anna, root}, {bert, bert}} {
		o := s.Overlay(asked.owner, "o"+string(rune('a'+s.Count(`SELECT COUNT(*) FROM overlays`))), overlay.Workshop)
		if _, err := jobs.Enqueue(t.Context(), s.Env.DB, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(o.ID), UserID: asked.by.ID}); err != nil {
			t.Fatal(err)
		}
	}
	for user, want := range map[account.User]int{anna: 2, bert: 1, root: 3} {
		got := s.Visitor(user, route.JobList, build).Get("/jobs")
		if rows := got.Page().Find("table.jobs tbody tr").Length(); got.StatusCode != http.StatusOK || rows != want {
			t.Errorf("%s: %d with %d jobs, want %d", user.Name, got.StatusCode, rows, want)
		}
	}
}

func TestOlderJobsAreOnFurtherPages(t *testing.T) {
	s := fntest.New(t)
	root := s.Person("root", true)
	jobs := jobstore.NewStore(s.Env.DB, time.Now)
	for id := range int64(jobstore.PageSize + 10) {
		if _, err := jobs.Enqueue(t.Context(), s.Env.DB, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(id + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	v := s.Visitor(root, route.JobList, build)
	seen := 0
	for path, pages := "/jobs", 0; path != ""; pages++ {
		page := v.Get(path).Page()
		seen += page.Find("table.jobs tbody tr").Length()
		path = page.Find("#next").AttrOr("href", "")
		if pages > 2 {
			t.Fatal("the pages do not end")
		}
	}
	if seen != jobstore.PageSize+10 {
		t.Errorf("%d jobs on all pages", seen)
	}
}
