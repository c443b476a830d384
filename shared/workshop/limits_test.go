package workshop_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"left4me/shared/account"
	"left4me/shared/db/dbtest"
	"left4me/shared/problem"
	"left4me/shared/steam"
	"left4me/shared/workshop"
)

func status(err error) int {
	if p, ok := problem.As(err); ok {
		return p.Status
	}
	return 0
}

func TestThereIsAMostThatSomebodysOverlaysHold(t *testing.T) {
	dbtest.Each(t, testThereIsAMostThatSomebodysOverlaysHold)
}

func testThereIsAMostThatSomebodysOverlaysHold(t *testing.T, open dbtest.Backend) {
	catalog := ""
	for n := range 20 {
		catalog += fmt.Sprintf("item %d\n", n+1)
	}
	w := setUp(t, open, catalog)
	other := w.make(t, "more maps")
	w.anna.Limits = &account.Limits{OverlayItems: 3, Items: 5, ActionsPerMinute: 1000}

	var all sync.WaitGroup
	for n := range 8 { // at once
		all.Go(func() {
			ids := []steam.ID{steam.ID(fmt.Sprint(n + 1))}
			if _, err := w.Add(t.Context(), w.client, w.anna, w.overlay, ids, workshop.Items, nil); err != nil && status(err) != http.StatusTooManyRequests {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(w.held(t, w.overlay)); n != 3 {
		t.Fatalf("the overlay holds %d items, want 3", n)
	}
	refused := func(ids []steam.ID, says string) {
		t.Helper()
		items := w.count(t, `SELECT COUNT(*) FROM workshop_items`)
		_, err := w.Add(t.Context(), w.client, w.anna, other, ids, workshop.Items, nil)
		if status(err) != http.StatusTooManyRequests || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
		if w.count(t, `SELECT COUNT(*) FROM workshop_items`) != items {
			t.Error("items were stored")
		}
	}
	refused([]steam.ID{"11", "12", "13", "14"}, "This overlay would have more than 3 items, which is the most that one may have. Nothing was added.")
	refused([]steam.ID{"11", "12", "13"}, "Your overlays would have more than 5 items together, which is the most that one person may have. Nothing was added.")
	if _, err := w.Add(t.Context(), w.client, w.anna, other, []steam.ID{"11", "12"}, workshop.Items, nil); err != nil {
		t.Errorf("as many as possible: %v", err)
	}
	w.anna.Limits = nil
	if _, err := w.Add(t.Context(), w.client, w.anna, other, []steam.ID{"13", "14"}, workshop.Items, nil); err != nil {
		t.Errorf("without limits: %v", err)
	}
}

func TestSteamIsNotAskedTooOften(t *testing.T) { dbtest.Each(t, testSteamIsNotAskedTooOften) }

func testSteamIsNotAskedTooOften(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "item 1\nitem 2\n")
	w.anna.Limits = &account.Limits{OverlayItems: 9, Items: 9, ActionsPerMinute: 1}
	if _, err := w.Add(t.Context(), w.client, w.anna, w.overlay, []steam.ID{"1"}, workshop.Auto, nil); err != nil {
		t.Fatal(err)
	}
	w.steam.Forget()
	for name, ask := range map[string]func() error{
		"add": func() error {
			_, err := w.Add(t.Context(), w.client, w.anna, w.overlay, []steam.ID{"2"}, workshop.Auto, nil)
			return err
		},
		"refresh": func() error {
			_, err := w.RefreshOverlay(t.Context(), w.client, w.anna, w.overlay)
			return err
		},
		"build": func() error {
			_, err := w.overlays.RequestBuild(t.Context(), w.anna, w.overlay.ID)
			return err
		},
	} {
		if err := ask(); status(err) != http.StatusTooManyRequests || !strings.Contains(err.Error(), "1 times a minute. Please wait 60 seconds") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := w.steam.Count("api"); n != 0 {
		t.Errorf("Steam was asked %d times", n)
	}
}
