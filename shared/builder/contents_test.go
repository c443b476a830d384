package builder_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"left4me/shared/list"
	"left4me/shared/vpk"
	"left4me/shared/workshop"
)

const fourContents = `item 1 campaign=Harbour maps=h1_docks,h2_pier modes=coop,versus
item 2 version=2 files=models/v_models/saw.mdl
item 3 garbled
item 4 mutation=holdout
`

// contents returns what the overlay's page shows of each item's content, in the order of the items.
func (w *fixture) contents(t *testing.T) (all []string) {
	t.Helper()
	page, err := w.host.Items.List(t.Context(), w.overlay.ID, list.Query{Page: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range page.Rows {
		switch c := i.Content; {
		case c == nil:
			all = append(all, "not read")
		case c.Unknown != "":
			all = append(all, "unknown: "+c.Unknown)
		default:
			all = append(all, string(c.Kind)+" "+c.Title+strings.Join(c.Mutations, " "))
		}
	}
	return all
}

func (w *fixture) wantContents(t *testing.T, want ...string) {
	t.Helper()
	if got := w.contents(t); !slices.Equal(got, want) {
		t.Errorf("contents: %q, want %q", got, want)
	}
}

// shows: P70
func TestABuildReadsWhatIsInTheFiles(t *testing.T) {
	w := setUp(t, fourContents, "1", "2", "3", "4")
	w.wantContents(t, "not read", "not read", "not read", "not read")
	r, err := w.build(t.Context(), t, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.wantLinks(t, "1", "2", "3", "4")
	all := []string{"campaign Item 1", "weapon Item 2", "unknown: its index is broken", "mutation or script Item 4holdout"}
	w.wantContents(t, all...)
	if want := []string{"workshop 3 content is unknown: its index is broken"}; !slices.Equal(r.err, want) {
		t.Errorf("stderr %q", r.err)
	}
	campaigns, err := workshop.Campaigns(t.Context(), w.db, []int64{w.overlay.ID})
	if err != nil || len(campaigns) != 1 || campaigns[0].SteamID != "1" || campaigns[0].Title != "Harbour" || len(campaigns[0].Modes) != 2 ||
		!slices.Equal(campaigns[0].Modes[1].Maps, []vpk.Map{{Name: "h1_docks", Title: "Docks"}, {Name: "h2_pier", Title: "Pier"}}) {
		t.Errorf("campaigns %+v, %v", campaigns, err)
	}

	// A file is read once, also what cannot be read. One of an earlier version of left4me is read without a download.
	r, err = w.build(t.Context(), t, nil)
	if err != nil || len(r.err) != 0 {
		t.Errorf("%q, %v", r.err, err)
	}
	if _, err := w.db.ExecContext(t.Context(), `DELETE FROM item_contents`); err != nil {
		t.Fatal(err)
	}
	w.steam.Forget()
	if _, err := w.build(t.Context(), t, nil); err != nil || w.steam.Count("content") != 0 {
		t.Errorf("%v, %d downloads", err, w.steam.Count("content"))
	}
	w.wantContents(t, all...)
}

// What was downloaded before a download failed is read all the same.
func TestAFailedBuildReadsWhatItHasDownloaded(t *testing.T) {
	w := setUp(t, fourContents, "1", "2")
	w.steam.Tell(t, "content/2 status=404")
	if _, err := w.build(t.Context(), t, nil); err == nil {
		t.Fatal("the build succeeded")
	}
	w.wantContents(t, "campaign Item 1", "not read")
}

// Neither a file that somebody has changed nor a disk that fails stops a build, and both are tried again.
func TestFilesThatCannotBeReadNow(t *testing.T) {
	w := setUp(t, fourContents, "1", "2")
	if _, err := w.build(t.Context(), t, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.ExecContext(t.Context(), `DELETE FROM item_contents`); err != nil {
		t.Fatal(err)
	}
	path := func(name string) string { return filepath.Join(w.host.Cache.Dir(), name) }
	if err := errors.Join(os.Remove(path("1.vpk")), os.Remove(path("2.vpk")), os.Mkdir(path("2.vpk"), 0o755)); err != nil {
		t.Fatal(err)
	}
	h := *w.host
	r := &report{}
	h.Report = r
	if err := h.ReadContents(t.Context(), 0); err != nil || len(r.err) != 1 || !strings.HasPrefix(r.err[0], "workshop 2 content was not read: ") {
		t.Errorf("%q, %v", r.err, err)
	}
	w.wantContents(t, "not read", "not read")
	if err := os.Remove(path("2.vpk")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.build(t.Context(), t, nil); err != nil {
		t.Fatal(err)
	}
	w.wantContents(t, "campaign Item 1", "weapon Item 2")

	if _, err := w.db.ExecContext(t.Context(), `DELETE FROM item_contents`); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.ReadContents(cancelled, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
