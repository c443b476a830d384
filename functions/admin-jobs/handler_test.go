package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

// fill adds ended jobs, half of them failed, and then queued ones.
func fill(t *testing.T, s *fntest.Site, ended, queued int) {
	t.Helper()
	jobs := jobstore.NewStore(s.Env.DB, time.Now)
	for i := range ended + queued {
		e, err := jobs.Enqueue(t.Context(), s.Env.DB, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(int64(i + 1))})
		if err != nil {
			t.Fatal(err)
		}
		if i >= ended {
			continue
		}
		state := []string{"succeeded", "failed"}[i%2]
		if _, err := s.Env.DB.ExecContext(t.Context(), `UPDATE jobs SET state = ?, attempt = 1, started_at = 1, finished_at = 2 WHERE id = ?`, state, e.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// states returns the states of the rows, in order.
func states(page *goquery.Document) (all []string) {
	page.Find("table.jobs tbody .state").Each(func(_ int, s *goquery.Selection) { all = append(all, s.Text()) })
	return all
}

func TestLiveJobsComeFirst(t *testing.T) {
	s := fntest.New(t)
	v := s.Visitor(s.Person("root", true), route.AdminJobs, build)
	fill(t, s, 3, 2)
	for path, want := range map[string]string{
		"/admin/jobs":                "queued queued succeeded failed succeeded",
		"/admin/jobs?show=failed":    "queued queued failed",
		"/admin/jobs?show=cancelled": "queued queued",
		"/admin/jobs?page=1":         "queued queued succeeded failed succeeded",
	} {
		if got := strings.Join(states(v.Get(path).Page()), " "); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for _, state := range []string{"queued", "nonsense"} {
		if got := v.Get("/admin/jobs?show=" + state); got.StatusCode != http.StatusBadRequest {
			t.Errorf("state %s: %d", state, got.StatusCode)
		}
	}
}

func TestOlderJobsAreOnFurtherPages(t *testing.T) {
	s := fntest.New(t)
	v := s.Visitor(s.Person("root", true), route.AdminJobs, build)
	fill(t, s, 2*jobstore.PageSize+10, jobstore.PageSize+3)
	var seen []string
	path := "/admin/jobs?show=failed"
	for pages := 0; path != ""; pages++ {
		page := v.Get(path).Page()
		if pages == 0 && !strings.Contains(page.Find("main").Text(), "3 further jobs after these") {
			t.Error("the page does not say that more jobs wait")
		}
		seen = append(seen, states(page)...)
		path = page.Find("#next").AttrOr("href", "")
		if pages > 2 {
			t.Fatal("the pages do not end")
		}
	}
	if want := append(slices.Repeat([]string{"queued"}, jobstore.PageSize), slices.Repeat([]string{"failed"}, jobstore.PageSize+5)...); !slices.Equal(seen, want) {
		t.Errorf("all pages together: %v", seen)
	}
}
