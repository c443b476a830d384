package main

import (
	"fmt"
	"strconv"
	"strings"
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

// running returns a site with job 1 running, and its recorder.
func running(t *testing.T) (*fntest.Site, account.User, *jobstore.Recorder) {
	t.Helper()
	s := fntest.New(t)
	anna := s.Person("anna", false)
	o := s.Overlay(anna, "annas", overlay.Workshop)
	jobs := jobstore.NewStore(s.Env.DB, time.Now)
	dbtest.AddHost(t, s.Env.DB, "here", s.Env.Now())
	if _, err := jobs.Enqueue(t.Context(), s.Env.DB, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(o.ID), UserID: anna.ID}); err != nil {
		t.Fatal(err)
	}
	c, found, err := jobs.Claim(t.Context(), jobstore.Worker{Name: "test", Host: "here"}, job.Runnable())
	if err != nil || !found {
		t.Fatal(found, err)
	}
	r := jobs.Record(t.Context(), c)
	t.Cleanup(r.Close)
	return s, anna, r
}

// A page that polls receives every line once, then how the job ended, and then stops.
func TestPollingReceivesTheWholeLog(t *testing.T) {
	s, anna, r := running(t)
	v := s.Visitor(anna, route.JobShow, build)
	say := func(from, to int) {
		for i := from; i <= to; i++ {
			r.Log(job.Stdout, fmt.Sprintf("line %d.", i))
		}
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	say(1, 3)
	page := v.Get("/jobs/1")
	if !strings.Contains(page.Body, "line 3.") || page.Page().Find("#job-progress[hx-get]").Length() != 1 {
		t.Fatalf("%s", page.Body)
	}
	next := page.Page().Find("#job-progress").AttrOr("hx-get", "")
	say(4, 4+2*logPage)
	if err := r.Finish(job.Failed, "it broke", nil); err != nil {
		t.Fatal(err)
	}
	v.Htmx()
	var log strings.Builder
	for asked := 0; next != ""; asked++ {
		if asked > 4 {
			t.Fatal("the polling does not end")
		}
		news := v.Get(next)
		part := news.Page()
		log.WriteString(part.Find("ol li span").Text())
		if asked == 0 && !strings.Contains(news.Body, "it broke") {
			t.Errorf("the first answer does not say how the job ended: %s", news.Body)
		}
		next = part.Find("#job-progress").AttrOr("hx-get", "")
	}
	for i := 4; i <= 4+2*logPage; i++ {
		if n := strings.Count(log.String(), "line "+strconv.Itoa(i)+"."); n != 1 {
			t.Fatalf("line %d came %d times", i, n)
		}
	}
}

func TestOldLinesAreOnFurtherPages(t *testing.T) {
	s, anna, r := running(t)
	for i := range 2*logPage + 1 {
		r.Log(job.Stdout, strconv.Itoa(i))
	}
	r.Log(job.Stderr, "what went wrong")
	if err := r.Finish(job.Failed, "it broke", nil); err != nil {
		t.Fatal(err)
	}
	v := s.Visitor(anna, route.JobShow, build)
	seen := 0
	for path, pages := "/jobs/1", 0; path != ""; pages++ {
		page := v.Get(path).Page()
		if shown := page.Find(".failures li").Text(); pages == 0 && shown != "what went wrong" {
			t.Errorf("what went wrong: %q", shown)
		}
		seen += page.Find("#job-log li").Length()
		path = page.Find(`a[href*="before="]`).AttrOr("href", "")
		if pages > 3 {
			t.Fatal("the pages do not end")
		}
	}
	if seen != 2*logPage+2 {
		t.Errorf("%d lines on all pages", seen)
	}
}
