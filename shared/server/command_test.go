package server_test

import (
	"strings"
	"testing"
	"unicode"

	"left4me/shared/db/dbtest"
	"left4me/shared/job"
	"left4me/shared/server"
	"left4me/shared/vpk"
)

// shows: P64
func TestACommandIsAJobWithItsAuthor(t *testing.T) {
	w := setUp(t, dbtest.New)
	s := w.make(t, "friday", 27015)
	w.finish(t)
	s.State = server.Running
	first, err := w.Command(t.Context(), w.anna, s, " status ")
	if err != nil {
		t.Fatal(err)
	}
	j, err := w.jobs.Get(t.Context(), first.ID)
	if err != nil || j.Operation != job.ServerCommand.Name || j.Title() != "Command: status" || j.UserName != "anna" || j.HostID != "here" {
		t.Errorf("%+v, %v", j, err)
	}
	// The same command twice is two commands.
	if again, err := w.Command(t.Context(), w.anna, s, "status"); err != nil || again.ID == first.ID {
		t.Errorf("%+v, %v", again, err)
	}
}

// The maps that can be changed to are those of the run's items, in the version that it has.
//
// shows: P65
func TestCampaignsOfARun(t *testing.T) { dbtest.Each(t, testCampaignsOfARun) }

func testCampaignsOfARun(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	s := w.make(t, "friday", 27015)
	w.exec(t, `INSERT INTO workshop_items (id, steam_id, title, created_at) VALUES (1, '10', 'Urban Flight', 1), (2, '11', 'blood tracks', 1)`)
	for id, updated := range map[int]int{1: 100, 2: 999} {
		w.exec(t, `INSERT INTO item_contents (workshop_item_id, time_updated, file_size, kind, campaigns) VALUES (?, ?, ?, 'campaign', '[{"title":"Urban","modes":[{"name":"coop","maps":[{"name":"u1","title":"Docks"}]}]}]')`, id, updated, 4+id)
	}
	if all, err := w.Campaigns(t.Context(), s.ID); err != nil || len(all) != 0 {
		t.Errorf("before a run: %+v, %v", all, err)
	}
	w.begin(t, s, maps, guns)
	all, err := w.Campaigns(t.Context(), s.ID)
	if err != nil || len(all) != 1 || all[0].Title != "Urban" || all[0].Modes[0].Maps[0] != (vpk.Map{Name: "u1", Title: "Docks"}) {
		t.Errorf("%+v, %v", all, err)
	}
}

// FuzzCommands builds commands from any text: none becomes a second command, nor a part of another.
func FuzzCommands(f *testing.F) {
	for _, s := range []string{"hello", `"; quit; "`, "a\nquit", "12", "c1m1_hotel", "// no", `\"; quit`, "\x00", "\u2028quit", "\xff;"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if said, err := server.Say(a); err == nil {
			within, before := strings.CutPrefix(said, `say "`)
			within, after := strings.CutSuffix(within, `"`)
			if !before || !after || strings.ContainsAny(within, "\"\n\r\x00") || strings.ContainsFunc(within, unicode.IsControl) {
				t.Errorf("%q is said with %q", a, said)
			}
		}
		announced := server.Announce(a)
		if within := announced[len(`say "`) : len(announced)-1]; len(announced) > server.CommandLength || strings.ContainsAny(within, "\"\n\r\x00") {
			t.Errorf("%q is announced with %q", a, announced)
		}
		if kick, err := server.Kick(a); err == nil && strings.Trim(strings.TrimPrefix(kick, "kickid "), "0123456789") != "" {
			t.Errorf("%q is kicked with %q", a, kick)
		}
		if change, err := server.ChangeMap(a, b); err == nil && (strings.ContainsAny(change, ";\"\n\r\x00") || len(strings.Fields(change)) > 3) {
			t.Errorf("%q and %q are %q", a, b, change)
		}
	})
}
