package workshop_test

import (
	"errors"
	"testing"
	"time"

	"left4me/shared/db/dbtest"
	"left4me/shared/steam"
	"left4me/shared/workshop"
)

// An item is as far as the host that is furthest behind, and each host downloads for itself.
//
// shows: P46
func TestAnItemSumsUpTheHosts(t *testing.T) { dbtest.Each(t, testAnItemSumsUpTheHosts) }

func testAnItemSumsUpTheHosts(t *testing.T, open dbtest.Backend) {
	w := refreshes(t, open, "item 1\n", "1")
	dbtest.AddHost(t, w.db, "there", time.Now())
	item := func() workshop.Item {
		t.Helper()
		items, err := w.OfOverlay(t.Context(), w.overlay.ID)
		if err != nil || len(items) != 1 {
			t.Fatal(items, err)
		}
		return items[0]
	}
	want := func(state string) {
		t.Helper()
		if got := item().State(); got != state {
			t.Errorf("state %q, want %q", got, state)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	link := func(host string) {
		t.Helper()
		do(w.Link(t.Context(), w.db, w.overlay.ID, host, map[int64]int64{item().ID: 0}))
	}
	outdated := func(host string, want int) {
		t.Helper()
		if got, err := w.Outdated(t.Context(), host, nil); err != nil || len(got) != want {
			t.Errorf("outdated on %s: %v, %v, want %d", host, got, err, want)
		}
	}
	want(workshop.WaitingForDownload)
	do(w.Downloaded(t.Context(), item(), "here"))
	link("here")
	want(workshop.NotLinked)
	do(w.DownloadFailed(t.Context(), item(), "there", errors.New("no route")))
	want("download failed: no route")
	do(w.Downloaded(t.Context(), item(), "here"))
	want("download failed: no route")
	do(w.Downloaded(t.Context(), item(), "there"))
	want(workshop.NotLinked)
	link("there")
	want(workshop.Ready)
	outdated("here", 0)

	// A new file: one host has it, then the other.
	w.steam.Tell(t, "update 1\n")
	do(w.Refresh(t.Context(), w.client, []steam.ID{"1"}, func(workshop.Refreshed) {}))
	want(workshop.UpdateWaiting)
	outdated("here", 1)
	do(w.Downloaded(t.Context(), item(), "here"))
	want(workshop.UpdateWaiting)
	outdated("here", 0)
	outdated("there", 1)
	do(w.DownloadFailed(t.Context(), item(), "there", errors.New("no route")))
	want("download failed: no route")

	// What failed about an older file does not count.
	w.steam.Tell(t, "update 1\n")
	do(w.Refresh(t.Context(), w.client, []steam.ID{"1"}, func(workshop.Refreshed) {}))
	want(workshop.UpdateWaiting)
	do(w.Downloaded(t.Context(), item(), "here"))
	want(workshop.UpdateWaiting)

	// A host that is gone does not count, and one that has removed the file has to download it again.
	w.exec(t, `DELETE FROM hosts WHERE id = 'there'`)
	want(workshop.Ready)
	do(w.NotDownloaded(t.Context(), "here", []steam.ID{"1"}))
	want(workshop.WaitingForDownload)
	outdated("here", 0)
	do(w.Downloaded(t.Context(), item(), "gone"))
	want(workshop.WaitingForDownload)

	// What Steam has lost keeps its own reason.
	do(w.DownloadFailed(t.Context(), item(), "here", errors.New("no route")))
	w.steam.Tell(t, "remove 1\n")
	do(w.Refresh(t.Context(), w.client, []steam.ID{"1"}, func(workshop.Refreshed) {}))
	want("not on Steam any more" + workshop.LastCopyKept)
	do(w.NotDownloaded(t.Context(), "here", []steam.ID{"1"}))
	want("not on Steam any more" + workshop.LastCopyKept)
}
